//! Futures that are polled so many times and then dropped (F-41), and the list of those that there
//! are: every public function of the library that gives one.
//!
//! What has to hold afterwards is the matter of the tests, case by case.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::task::Poll;

use syn::{ImplItem, Item, ReturnType, Signature, TraitItem, Type, Visibility};

use crate::tidy::Source;

/// More polls than anything here takes, however often its task is woken for something else.
pub const MOST_POLLS: usize = 2_000;

/// What became of a future that was polled so many times at most.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a future that has ended was not dropped"]
pub enum Polled<T> {
    /// It ended first.
    Done(T),
    /// It was dropped at an await.
    Dropped,
}

impl<T> Polled<T> {
    /// What it ended with; nothing where it was dropped.
    pub fn done(self) -> Option<T> {
        match self {
            Polled::Done(value) => Some(value),
            Polled::Dropped => None,
        }
    }
}

/// Polls a future `polls` times at most, each time when it asks for it, and drops it right behind
/// the last one.
pub async fn poll_times<F: Future>(future: F, polls: usize) -> Polled<F::Output> {
    let mut future = Some(Box::pin(future));
    let mut left = polls;
    poll_fn(move |cx| {
        if let Some(future) = future.as_mut().filter(|_| left > 0) {
            left -= 1;
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                return Poll::Ready(Polled::Done(value));
            }
        }
        if left == 0 {
            future = None;
            return Poll::Ready(Polled::Dropped);
        }
        Poll::Pending
    })
    .await
}

/// Runs `case` for 0 polls, 1, 2, …, until it says that its future has ended; says for how many.
///
/// # Errors
///
/// The first error of the case.
///
/// # Panics
///
/// Panics where the future does not come to an end, or had come to it unpolled.
pub async fn at_every_await<E>(
    mut case: impl AsyncFnMut(usize) -> Result<bool, E>,
) -> Result<usize, E> {
    for polls in 0..MOST_POLLS {
        if case(polls).await? {
            assert!(polls > 0, "it has ended without being polled");
            return Ok(polls);
        }
    }
    panic!("it has not ended after {MOST_POLLS} polls")
}

/// Every public function in these sources that is `async` or returns a future or a stream, as
/// `name` or `Type::name`, and every public type that is one, as `Type as Trait`.
///
/// # Panics
///
/// Panics where a source does not parse.
pub fn public_futures(sources: &[Source]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in sources {
        let file = syn::parse_file(&source.text)
            .unwrap_or_else(|error| panic!("{}: {error}", source.path));
        file.items.iter().for_each(|item| look_at(item, &mut found));
    }
    found
}

fn look_at(item: &Item, found: &mut BTreeSet<String>) {
    match item {
        Item::Fn(function) if is_public(&function.vis) && is_future(&function.sig) => {
            found.insert(function.sig.ident.to_string());
        }
        Item::Impl(block) => {
            let owner = name_of(&block.self_ty);
            let of = block.trait_.as_ref().and_then(|(path, _)| path.segments.last());
            if let Some(of) = of.filter(|of| is_future_trait(&of.ident.to_string())) {
                found.insert(format!("{owner} as {}", of.ident));
            }
            for item in &block.items {
                if let ImplItem::Fn(method) = item
                    && is_public(&method.vis)
                    && is_future(&method.sig)
                {
                    found.insert(format!("{owner}::{}", method.sig.ident));
                }
            }
        }
        Item::Trait(one) if is_public(&one.vis) => {
            for item in &one.items {
                if let TraitItem::Fn(method) = item
                    && is_future(&method.sig)
                {
                    found.insert(format!("{}::{}", one.ident, method.sig.ident));
                }
            }
        }
        Item::Mod(inner) => {
            let items = inner.content.iter().flat_map(|(_, items)| items);
            items.for_each(|item| look_at(item, found));
        }
        _ => {}
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_future_trait(name: &str) -> bool {
    matches!(name, "Future" | "IntoFuture" | "Stream" | "AsyncIterator")
}

fn is_future(signature: &Signature) -> bool {
    let returned = match &signature.output {
        ReturnType::Type(_, returned) => &**returned,
        ReturnType::Default => return signature.asyncness.is_some(),
    };
    let text = quote::ToTokens::to_token_stream(returned).to_string();
    let mut words = text.split(|one: char| !one.is_alphanumeric() && one != '_');
    signature.asyncness.is_some() || words.any(is_future_trait)
}

/// The last name of a type's path, without what stands in brackets.
fn name_of(one: &Type) -> String {
    match one {
        Type::Path(path) => {
            path.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default()
        }
        other => quote::ToTokens::to_token_stream(other).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_of_a_public_future_is_found_and_nothing_else() {
        let text = "
            pub async fn a() {}
            async fn hidden() {}
            pub(crate) async fn inner() {}
            pub fn b() -> impl Future<Output = ()> {}
            pub fn c() -> Pin<Box<dyn Stream<Item = ()>>> {}
            pub fn plain() -> Futures {}
            impl<T> Thing<T> { pub async fn d(&self) {} async fn e(&self) {} pub fn f(&self) {} }
            impl Stream for Thing<u8> { fn poll_next() {} }
            pub trait Open { fn g() -> impl Future<Output = u8>; fn h(); }
            trait Closed { fn i() -> impl Future<Output = u8>; }
            pub mod inside { pub async fn j() {} }
        ";
        let found = public_futures(&[Source::new("a.rs", text)]);
        let wanted = ["Open::g", "Thing as Stream", "Thing::d", "a", "b", "c", "j"];
        assert_eq!(found, BTreeSet::from(wanted.map(str::to_owned)));
    }

    #[test]
    fn a_future_is_dropped_right_behind_its_last_poll() {
        use std::cell::Cell;
        let polled = Cell::new(0);
        let count = || {
            poll_fn(|cx| {
                polled.set(polled.get() + 1);
                cx.waker().wake_by_ref();
                if polled.get() < 3 { Poll::Pending } else { Poll::Ready(7) }
            })
        };
        for polls in 0..3 {
            polled.set(0);
            let ended = futures_lite::future::block_on(poll_times(count(), polls));
            assert_eq!((ended, polled.get()), (Polled::Dropped, polls));
        }
        polled.set(0);
        assert_eq!(futures_lite::future::block_on(poll_times(count(), 3)), Polled::Done(7));
    }
}
