//! The block around an actor that was found: when the block ends, however it does, what was opened
//! through its portal ends, and the portal goes. Who ends whom when the block is cancelled is not
//! decided here.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use futures_lite::FutureExt;
use hatchery_proto::Cause;

use super::lookup::{find_actor, running};
use crate::context::by_us;
use crate::driver::{clock, readiness};
use crate::error::{Error, Result};
use crate::inspect::What;
use crate::portal::Portal;
use crate::task::{self, Ended, Scope};

/// Finds an actor by its name, runs `body` with a portal to it, and closes that when `body` has ended:
/// the scope form of [`find_actor`]. `None`, and no `body`, where nobody has that name.
///
/// Whether `body` returns, fails or is cancelled: what was opened through the portal and its clones and
/// still runs is cancelled and waited for, and the link is let go of with the last portal on it, as by
/// [`Portal::close`]. The actor lives on. What was found otherwise, by another `find_actor` too, is a
/// portal of its own and stays as it is; a clone that outlives the block goes on leading to the actor,
/// and nobody ends what is opened through it from then on.
///
/// ```
/// # use hatchery::{Nursery, Options, Portal, Result, local_address, open_nursery, run_with};
/// use hatchery::with_actor;
///
/// #[hatchery::endpoint]
/// async fn price(item: String) -> usize {
///     item.len()
/// }
///
/// #[hatchery::endpoint]
/// async fn asks_a_sibling() -> Result<Option<usize>> {
///     with_actor("shop", async |shop: Portal| {
///         let nail = shop.run(price("nail".into())).await?;
///         Ok(nail + shop.run(price("saw".into())).await?)
///     })
///     .await // here the link is let go of
/// }
///
/// # fn main() -> Result<()> {
/// # hatchery::init();
/// # let place = local_address(&format!("docs-block-{}", std::process::id()))?;
/// # run_with(Options::new().registry(place), open_nursery(async |nursery: Nursery| {
/// # let shop = nursery.actor("shop").expose::<price>().start().await?;
/// # let customer = nursery.run_in_actor("customer", asks_a_sibling()).await?;
/// # assert_eq!(customer.result::<asks_a_sibling>().await?, Some(7));
/// # shop.cancel().await
/// # }))
/// # }
/// ```
///
/// # Errors
/// As [`find_actor`], and `body`'s own. `Cancelled` where the block was cancelled, even if a value came
/// after that.
///
/// # Cancel safety
/// In a task that is cancelled, `body` is dropped, then what was opened through the portal is cancelled
/// and waited for, at most for this scope's share of the grace (P-C2). Dropping the future from outside,
/// or a panic in `body`, cancels all that without waiting.
pub async fn with_actor<F, Fut, T, X>(name: &str, body: F) -> Result<Option<T>, X>
where
    F: FnOnce(Portal) -> Fut,
    Fut: Future<Output = Result<T, X>>,
    X: From<Error> + fmt::Display + 'static,
{
    let actor = running(&format!("looking for actor `{name}`"))?;
    let Some(portal) = find_actor(name).await? else { return Ok(None) };
    // Declared first, so that a block that goes away closes its scope last.
    let scope = Scope::open(&actor, Some(actor.current_scope()), What::Visit);
    let mut lets_go = LetsGo(Some(portal.clone()));
    scope.set_holding(true);
    let ended = task::run_in(&scope, Box::pin(body(portal))).await;
    // A cancel may come only now, and bounds this too.
    let late = async {
        scope.until_due().await;
        readiness::until(clock::now() + scope.share()).await;
    };
    lets_go.close().or(late).await;
    match (ended, scope.cancelled()) {
        (Ended::Returned(Err(error)), _) => Err(error),
        (Ended::Returned(Ok(value)), None) => Ok(Some(value)),
        (Ended::Returned(Ok(_)) | Ended::Dropped, by) => {
            let by = by.unwrap_or_else(|| by_us(Cause::ScopeEnding));
            Err(X::from(Error::cancelled_by(by)))
        }
    }
}

/// Holds the portal of a block, and with that its link, until what was opened through it has ended.
struct LetsGo(Option<Portal>);

impl LetsGo {
    async fn close(&mut self) {
        if let Some(portal) = self.0.take() {
            portal.close().await;
        }
    }
}

impl Drop for LetsGo {
    fn drop(&mut self) {
        // The first poll is what asks; there is nobody any more who could wait.
        let _ = pin!(self.close()).poll(&mut Context::from_waker(Waker::noop()));
    }
}
