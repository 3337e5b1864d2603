//! Which part serves an endpoint, by its name: the program, or a part of this library, which says itself
//! who may call it. Decides nothing else.

/// Whose an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The program's own.
    Program,
    /// What a registrar does for its peers.
    Registrar,
    /// The way of children to the terminal.
    Terminal,
    /// What actors ask each other about the tree.
    Tree,
}

impl Part {
    /// That of an endpoint of this name.
    pub(crate) fn of(name: &str) -> Self {
        let Some(own) = name.strip_prefix("hatchery::") else { return Self::Program };
        match own.split_once("::") {
            Some(("registrar", _)) => Self::Registrar,
            Some(("terminal", _)) => Self::Terminal,
            Some(("inspect", _)) => Self::Tree,
            _ => Self::Program,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{debug, discovery, inspect};

    #[test]
    fn each_part_has_the_endpoints_that_it_lists() {
        let parts = [
            (discovery::ENTRIES, Part::Registrar),
            (debug::ENTRIES, Part::Terminal),
            (inspect::ENTRIES, Part::Tree),
        ];
        for (entries, part) in parts {
            assert!(!entries.is_empty());
            for entry in entries {
                assert_eq!(Part::of(entry.name), part, "{}", entry.name);
            }
        }
        for name in ["", "hatchery", "hatchery::", "hatchery::echo", "app::registrar::find"] {
            assert_eq!(Part::of(name), Part::Program, "{name}");
        }
    }
}
