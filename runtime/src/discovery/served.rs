//! What a registrar does for its peers: the endpoints by which its book is read and written. Every peer
//! that was let in may ask; whether this actor is a registrar is all that is looked at.

use std::sync::Arc;

use futures_core::Stream;
use futures_lite::stream;
use hatchery_proto::registrar::{Change, Cursor, Page, Registered};
use hatchery_proto::{ActorId, Address};

use super::Book;
use super::book::Over;
use crate::actor::Actor;
use crate::context::{Context, Starts};
use crate::current::Within;
use crate::endpoint::Entry;
use crate::error::{Error, Result};

/// All of them, as the linker lists those of programs.
pub(crate) const ENTRIES: &[Entry] = &[
    Entry::call::<who>(),
    Entry::context::<register>(),
    Entry::context::<unregister>(),
    Entry::call::<find>(),
    Entry::call::<list>(),
    Entry::call::<wait>(),
    Entry::stream::<watch>(),
    Entry::call::<unreachable>(),
];

fn book() -> Result<Arc<Book>> {
    let book = Actor::running().and_then(|actor| actor.discovery().book());
    book.ok_or_else(|| Error::misuse("asking an actor that is no registrar for what it knows"))
}

/// The book, and over which link it is asked.
fn asked() -> Result<(Arc<Book>, Over)> {
    let (link, uuid) = Within::asked_over()
        .ok_or_else(|| Error::misuse("asking a registrar over no link; ask it as any other"))?;
    Ok((book()?, Over { link, uuid }))
}

/// Says who the registrar is.
#[hatchery_macros::endpoint(crate = crate, unlisted, name = "hatchery::registrar::who")]
pub(super) async fn who() -> Result<ActorId> {
    book().map(|book| book.id().clone())
}

/// Registers whoever opens it under these addresses, for as long as it runs.
#[hatchery_macros::context(crate = crate, unlisted, name = "hatchery::registrar::register")]
pub(super) async fn register(cx: Context<Starts<ActorId>>, addresses: Vec<Address>) -> Result<()> {
    let (book, over) = asked()?;
    let id = cx.peer().clone();
    let (_entry, gone) = book.register(over, &id, &addresses)?;
    let _started = cx.started(book.id().clone()).await?;
    // Until it is cancelled, or its link ends: the entry goes with it. Or the other way round.
    let _ = gone.recv().await;
    Err(Error::message(format!(
        "the entry of actor {id} is gone: it was taken back, its address is another's, or it could not be \
         reached there"
    )))
}

/// Takes back whatever whoever opens it has registered; its first value says whether that was anything.
#[hatchery_macros::context(crate = crate, unlisted, name = "hatchery::registrar::unregister")]
pub(super) async fn unregister(cx: Context<Starts<bool>>) -> Result<()> {
    let (book, over) = asked()?;
    let was = book.unregister(over, cx.peer());
    cx.started(was).await?;
    Ok(())
}

/// Those of this name, the newest first.
#[hatchery_macros::endpoint(crate = crate, unlisted, name = "hatchery::registrar::find")]
pub(super) async fn find(name: String) -> Result<Vec<Registered>> {
    Ok(book()?.find(&name))
}

/// Those whose names begin so, or the next of them behind `after`.
#[hatchery_macros::endpoint(crate = crate, unlisted, name = "hatchery::registrar::list")]
pub(super) async fn list(prefix: String, after: Option<Cursor>) -> Result<Page> {
    Ok(book()?.list(&prefix, after.as_ref()))
}

/// Those of this name, once there is one.
#[hatchery_macros::endpoint(crate = crate, unlisted, name = "hatchery::registrar::wait")]
pub(super) async fn wait(name: String) -> Result<Vec<Registered>> {
    let (book, over) = asked()?;
    book.wait(over, &name).await
}

/// What comes and goes from here on, of this name or at all.
#[hatchery_macros::endpoint(crate = crate, unlisted, name = "hatchery::registrar::watch")]
pub(super) fn watch(name: Option<String>) -> impl Stream<Item = Result<Change>> {
    let watching = asked().and_then(|(book, over)| book.watch(over, name.as_deref()));
    stream::unfold(Some(watching), async |watching| match watching? {
        Ok(mut watching) => {
            let change = watching.next().await;
            Some((Ok(change), Some(Ok(watching))))
        }
        Err(error) => Some((Err(error), None)),
    })
}

/// Hears that an actor could not be reached where it is said to be.
#[hatchery_macros::endpoint(crate = crate, unlisted, name = "hatchery::registrar::unreachable")]
pub(super) async fn unreachable(actor: u128, address: Address) -> Result<()> {
    let (book, over) = asked()?;
    book.unreachable(over, actor, &address);
    Ok(())
}
