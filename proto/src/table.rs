//! Transition tables: states, steps, and the one function that may move between them.
//!
//! A table is a list of rows `State + Step => State`. What no row names is refused, so every pair
//! of state and step has exactly one result, and the listing of all pairs can be read and drawn.

/// Declares a machine: its states, its steps, and the rows that lead from one state to another.
macro_rules! table {
    (
        $(#[$meta:meta])*
        $vis:vis machine $state:ident by $step:ident starts $first:ident {
            $($from:ident + $on:ident => $to:ident;)*
        }
        states { $($(#[$sdoc:meta])* $s:ident,)* }
        steps { $($(#[$edoc:meta])* $e:ident,)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $state { $($(#[$sdoc])* $s,)* }

        #[doc = concat!("What may happen to a [`", stringify!($state), "`].")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis enum $step { $($(#[$edoc])* $e,)* }

        impl Default for $state {
            fn default() -> Self {
                Self::$first
            }
        }

        impl $state {
            /// Every state.
            pub const STATES: &'static [Self] = &[$(Self::$s,)*];
            /// Every step.
            pub const STEPS: &'static [$step] = &[$($step::$e,)*];
            /// Every row: from, step, to.
            pub const ROWS: &'static [(Self, $step, Self)] =
                &[$((Self::$from, $step::$on, Self::$to),)*];

            /// Where the step leads, or nothing where the table has no row for it.
            #[must_use]
            pub const fn after(self, step: $step) -> Option<Self> {
                match (self, step) {
                    $((Self::$from, $step::$on) => Some(Self::$to),)*
                    #[allow(unreachable_patterns)]
                    _ => None,
                }
            }

            /// Takes the step; says whether the table has a row for it.
            #[must_use]
            pub const fn step(&mut self, step: $step) -> bool {
                match self.after(step) {
                    Some(next) => {
                        *self = next;
                        true
                    }
                    None => false,
                }
            }

            /// The state's name, for messages.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$s => stringify!($s),)*
                }
            }

            /// The machine as a graph in DOT.
            #[must_use]
            pub fn dot() -> alloc::string::String {
                let mut dot = alloc::string::String::new();
                dot.push_str(concat!(
                    "digraph ", stringify!($state), " {\n  start [shape=point];\n  start -> ",
                    stringify!($first), ";\n"
                ));
                $(dot.push_str(concat!("  ", stringify!($s), ";\n"));)*
                $(dot.push_str(concat!(
                    "  ", stringify!($from), " -> ", stringify!($to),
                    " [label=\"", stringify!($on), "\"];\n"
                ));)*
                dot.push_str("}\n");
                dot
            }
        }
    };
}

pub(crate) use table;
