//! What may be decoded: how deep a value nests, how many parts it has, and how much room is made for
//! parts that are only announced. Wraps the deserializer of any codec; reads no bytes itself. Also keeps
//! why a value was not taken: not every codec has room for words.
//!
//! A value that nests without end overflows the stack, which no program survives, and one of a
//! million parts without bytes keeps it busy: the peer that sends either is not to decide that.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

/// How deep what is decoded may nest: every sequence, map, struct, enum, option and newtype counts.
pub const MAX_DEPTH: usize = 256;

/// Parts that a value may have beyond one for each of its bytes: such as take none.
const FREE_PARTS: usize = 65_536;

/// What is left for one value.
pub(crate) struct Budget {
    depth: Cell<usize>,
    parts: Cell<usize>,
    /// No more parts that take a byte are to come.
    most: usize,
}

thread_local! {
    /// Why the value that is being decoded on this thread was not taken, where that was said.
    static WHY: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Whether there is something in it.
    static SAID: Cell<bool> = const { Cell::new(false) };
}

/// A codec's error, whose words are kept beside it. Nothing but that error in memory, so that what is
/// decoded is not moved where one is made of the other.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Kept<E>(E);

impl<E> Kept<E> {
    #[inline(always)]
    fn into_inner(self) -> E {
        self.0
    }
}

impl<E: fmt::Display> fmt::Display for Kept<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<E: std::error::Error> std::error::Error for Kept<E> {}

impl<E: Error> Error for Kept<E> {
    #[cold]
    fn custom<T: fmt::Display>(why: T) -> Self {
        let why = why.to_string();
        let error = E::custom(&why);
        let _ = WHY.try_with(|kept| kept.replace(Some(why)));
        SAID.set(true);
        Self(error)
    }
}

impl Budget {
    #[inline(always)]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        if SAID.get() {
            // Of a value that was taken in the end.
            let _ = Self::why();
        }
        let most = bytes.len();
        let parts = most.saturating_add(FREE_PARTS);
        Self { depth: Cell::new(MAX_DEPTH), parts: Cell::new(parts), most }
    }

    /// Why the last value that was not taken on this thread was not, where that was said.
    #[cold]
    pub(crate) fn why() -> Option<String> {
        SAID.set(false);
        WHY.try_with(RefCell::take).ok().flatten()
    }

    #[inline(always)]
    fn takes<E: Error>(&self, parts: usize) -> Result<(), E> {
        let Some(left) = self.parts.get().checked_sub(parts) else {
            return Err(E::custom("it has more parts than its bytes can tell of"));
        };
        self.parts.set(left);
        Ok(())
    }

    /// Goes one deeper for as long as `f` runs.
    #[inline(always)]
    fn deeper<T, E: Error>(&self, f: impl FnOnce() -> Result<T, Kept<E>>) -> Result<T, E> {
        let Some(left) = self.depth.get().checked_sub(1) else {
            let why = format_args!("it nests more than {MAX_DEPTH} deep");
            return Err(Kept::custom(why).into_inner());
        };
        self.depth.set(left);
        let done = f();
        self.depth.set(left.saturating_add(1));
        done.map_err(Kept::into_inner)
    }
}

/// A part of a deserializer, or what is given to one, that keeps to a budget.
pub(crate) struct Limited<'b, T> {
    inner: T,
    budget: &'b Budget,
    /// So many parts of a sequence are taken off the budget already, together: those of a tuple or an
    /// array, of which the type says how many there are.
    paid: usize,
}

impl<'b, T> Limited<'b, T> {
    #[inline(always)]
    pub(crate) const fn new(inner: T, budget: &'b Budget) -> Self {
        Self { inner, budget, paid: 0 }
    }

    /// The same of a sequence of which so many parts are taken off the budget now.
    #[inline(always)]
    fn paid<E: Error>(inner: T, budget: &'b Budget, parts: usize) -> Result<Self, E> {
        budget.takes::<E>(parts).map(|()| Self { inner, budget, paid: parts })
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Limited<'_, S> {
    type Value = S::Value;

    #[inline(always)]
    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<S::Value, D::Error> {
        let taken = self.inner.deserialize(Limited::new(from, self.budget));
        taken.map_err(Kept::into_inner)
    }
}

/// The same for each of the ways to ask for a value.
macro_rules! ask {
    ($($ask:ident($($argument:ident: $type:ty),*);)*) => {$(
        #[inline(always)]
        fn $ask<V>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, Self::Error>
        where
            V: Visitor<'de>,
        {
            let visitor = Limited::new(visitor, self.budget);
            self.inner.$ask($($argument,)* visitor).map_err(Kept)
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Limited<'_, D> {
    type Error = Kept<D::Error>;

    ask! {
        deserialize_any();
        deserialize_bool();
        deserialize_i8();
        deserialize_i16();
        deserialize_i32();
        deserialize_i64();
        deserialize_i128();
        deserialize_u8();
        deserialize_u16();
        deserialize_u32();
        deserialize_u64();
        deserialize_u128();
        deserialize_f32();
        deserialize_f64();
        deserialize_char();
        deserialize_str();
        deserialize_string();
        deserialize_bytes();
        deserialize_byte_buf();
        deserialize_option();
        deserialize_unit();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_seq();
        deserialize_map();
        deserialize_struct(name: &'static str, fields: &'static [&'static str]);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
        deserialize_identifier();
        deserialize_ignored_any();
    }

    #[inline(always)]
    fn deserialize_tuple<V>(self, len: usize, visitor: V) -> Result<V::Value, Self::Error>
    where
        V: Visitor<'de>,
    {
        let visitor = Limited::paid::<Self::Error>(visitor, self.budget, len)?;
        self.inner.deserialize_tuple(len, visitor).map_err(Kept)
    }

    #[inline(always)]
    fn deserialize_tuple_struct<V>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error>
    where
        V: Visitor<'de>,
    {
        let visitor = Limited::paid::<Self::Error>(visitor, self.budget, len)?;
        self.inner.deserialize_tuple_struct(name, len, visitor).map_err(Kept)
    }

    #[inline(always)]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// What has no parts goes through as it is.
macro_rules! see {
    ($($see:ident: $type:ty,)*) => {$(
        #[inline(always)]
        fn $see<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.inner.$see(value).map_err(Kept::into_inner)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Limited<'_, V> {
    type Value = V::Value;

    see! {
        visit_bool: bool,
        visit_i8: i8,
        visit_i16: i16,
        visit_i32: i32,
        visit_i64: i64,
        visit_i128: i128,
        visit_u8: u8,
        visit_u16: u16,
        visit_u32: u32,
        visit_u64: u64,
        visit_u128: u128,
        visit_f32: f32,
        visit_f64: f64,
        visit_char: char,
        visit_str: &str,
        visit_borrowed_str: &'de str,
        visit_string: String,
        visit_bytes: &[u8],
        visit_borrowed_bytes: &'de [u8],
        visit_byte_buf: Vec<u8>,
    }

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    #[inline(always)]
    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none().map_err(Kept::into_inner)
    }

    #[inline(always)]
    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit().map_err(Kept::into_inner)
    }

    #[inline(always)]
    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        self.budget.deeper(|| self.inner.visit_some(Limited::new(from, self.budget)))
    }

    #[inline(always)]
    fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<V::Value, D::Error> {
        self.budget.deeper(|| self.inner.visit_newtype_struct(Limited::new(from, self.budget)))
    }

    #[inline(always)]
    fn visit_seq<A: SeqAccess<'de>>(self, parts: A) -> Result<V::Value, A::Error> {
        let (budget, paid) = (self.budget, self.paid);
        budget.deeper(|| self.inner.visit_seq(Limited { inner: parts, budget, paid }))
    }

    #[inline(always)]
    fn visit_map<A: MapAccess<'de>>(self, parts: A) -> Result<V::Value, A::Error> {
        self.budget.deeper(|| self.inner.visit_map(Limited::new(parts, self.budget)))
    }

    #[inline(always)]
    fn visit_enum<A: EnumAccess<'de>>(self, from: A) -> Result<V::Value, A::Error> {
        self.budget.deeper(|| self.inner.visit_enum(Limited::new(from, self.budget)))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Limited<'_, A> {
    type Error = Kept<A::Error>;

    #[inline(always)]
    fn next_element_seed<S>(&mut self, seed: S) -> Result<Option<S::Value>, Self::Error>
    where
        S: DeserializeSeed<'de>,
    {
        match self.paid.checked_sub(1) {
            Some(left) => self.paid = left,
            None => self.budget.takes::<Self::Error>(1)?,
        }
        self.inner.next_element_seed(Limited::new(seed, self.budget)).map_err(Kept)
    }

    /// What this does by itself, but in place: else each byte of a small array is a call.
    #[inline(always)]
    fn next_element<T: Deserialize<'de>>(&mut self) -> Result<Option<T>, Self::Error> {
        self.next_element_seed(PhantomData)
    }

    #[inline(always)]
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint().map(|parts| parts.min(self.budget.most))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Limited<'_, A> {
    type Error = Kept<A::Error>;

    #[inline(always)]
    fn next_key_seed<S>(&mut self, seed: S) -> Result<Option<S::Value>, Self::Error>
    where
        S: DeserializeSeed<'de>,
    {
        self.budget.takes::<Self::Error>(1)?;
        self.inner.next_key_seed(Limited::new(seed, self.budget)).map_err(Kept)
    }

    #[inline(always)]
    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, Self::Error> {
        self.inner.next_value_seed(Limited::new(seed, self.budget)).map_err(Kept)
    }

    #[inline(always)]
    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint().map(|parts| parts.min(self.budget.most))
    }
}

impl<'de, 'b, A: EnumAccess<'de>> EnumAccess<'de> for Limited<'b, A> {
    type Error = Kept<A::Error>;
    type Variant = Limited<'b, A::Variant>;

    #[inline(always)]
    fn variant_seed<S>(self, seed: S) -> Result<(S::Value, Self::Variant), Self::Error>
    where
        S: DeserializeSeed<'de>,
    {
        let budget = self.budget;
        let (value, variant) = self.inner.variant_seed(Limited::new(seed, budget)).map_err(Kept)?;
        Ok((value, Limited::new(variant, budget)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Limited<'_, A> {
    type Error = Kept<A::Error>;

    #[inline(always)]
    fn unit_variant(self) -> Result<(), Self::Error> {
        self.inner.unit_variant().map_err(Kept)
    }

    #[inline(always)]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<S::Value, Self::Error> {
        self.inner.newtype_variant_seed(Limited::new(seed, self.budget)).map_err(Kept)
    }

    #[inline(always)]
    fn tuple_variant<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.inner.tuple_variant(len, Limited::new(visitor, self.budget)).map_err(Kept)
    }

    #[inline(always)]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.inner.struct_variant(fields, Limited::new(visitor, self.budget)).map_err(Kept)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use serde::Deserialize;
    use serde::de::value::{self, SeqDeserializer};
    use serde::de::{IgnoredAny, SeqAccess, Visitor};

    use super::*;
    use crate::codec::{Postcard, take};

    #[derive(Debug, Deserialize)]
    struct Nest(#[allow(dead_code, reason = "it is the depth that counts")] Option<Box<Nest>>);

    #[test]
    fn a_value_may_nest_to_the_limit_and_no_deeper() {
        // A newtype and an option for each level, and a newtype at the end.
        let nest = |levels: usize| take::<Postcard, Nest>(&[vec![1; levels], vec![0]].concat());
        let most = (MAX_DEPTH - 1) / 2;
        nest(most).unwrap();
        let error = nest(most + 1).unwrap_err();
        assert_eq!(error.to_string(), "it nests more than 256 deep");
    }

    #[test]
    fn room_is_made_only_for_parts_that_can_come() {
        struct Room(Option<usize>);

        impl<'de> Deserialize<'de> for Room {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Looks;
                impl<'de> Visitor<'de> for Looks {
                    type Value = Room;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a sequence")
                    }

                    fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Room, A::Error> {
                        let room = Room(parts.size_hint());
                        while parts.next_element::<IgnoredAny>().is_ok_and(|part| part.is_some()) {}
                        Ok(room)
                    }
                }
                from.deserialize_seq(Looks)
            }
        }
        // Two to the 20th, announced in three bytes.
        let bytes = [0x80, 0x80, 0x40];
        let Room(room) = take::<Postcard, Room>(&bytes).unwrap();
        assert!(room.is_none_or(|room| room <= bytes.len()), "{room:?}");
        assert!(take::<Postcard, HashMap<u64, u64>>(&bytes).is_err());
    }

    #[test]
    fn parts_without_bytes_are_counted() {
        assert_eq!(take::<Postcard, Vec<()>>(&[100]).unwrap().len(), 100);
        let error = take::<Postcard, Vec<()>>(&[0xff, 0xff, 0xff, 0xff, 0x0f]).unwrap_err();
        assert_eq!(error.to_string(), "it has more parts than its bytes can tell of");
    }

    #[test]
    fn parts_of_a_tuple_are_counted_together() {
        assert_eq!(take::<Postcard, Vec<[(); 32]>>(&[100]).unwrap().len(), 100);
        let error = take::<Postcard, Vec<[(); 32]>>(&[0xff, 0xff, 0x03]).unwrap_err();
        assert_eq!(error.to_string(), "it has more parts than its bytes can tell of");
    }

    #[test]
    fn parts_beyond_those_of_a_tuples_type_are_counted() {
        struct Counts;

        impl<'de> Visitor<'de> for Counts {
            type Value = usize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("any sequence")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<usize, A::Error> {
                let mut count = 0;
                while parts.next_element::<()>()?.is_some() {
                    count += 1;
                }
                Ok(count)
            }
        }
        let counted = |more: usize| {
            let budget = Budget::of(&[]);
            // It says that it has two, and has as many as it likes.
            let parts = SeqDeserializer::<_, value::Error>::new(std::iter::repeat_n((), 2 + more));
            Limited::new(parts, &budget).deserialize_tuple(2, Counts)
        };
        // The end is asked for as well.
        let free = FREE_PARTS - 3;
        assert_eq!(counted(free).unwrap(), free + 2);
        counted(free + 1).unwrap_err();
    }
}
