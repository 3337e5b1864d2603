//! The span that a task runs in, whose parent is its caller's, be that in another process. Nothing is
//! made, and nothing sent, where no subscriber wants these spans.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use hatchery_proto::ActorId;
use tracing::span::Entered;
use tracing::{Level, Span};

use crate::driver::identity;
use crate::driver::link::lock;
use crate::trace::Trace;

/// The spans of this process's tasks, by what others call them: a caller may be in it, too.
static LIVE: Mutex<BTreeMap<u64, Span>> = Mutex::new(BTreeMap::new());

/// The span of a task, while that runs.
pub(crate) struct TaskSpan {
    span: Span,
    /// What others call it; nothing where it is a further task's of the same span.
    number: Option<u64>,
}

/// Which trace a span belongs to, and which of its spans it is: the middle of a `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    trace: u128,
    span: u64,
}

/// Whether anybody wants the spans of tasks. One load where nobody wants anything of that level.
fn are_wanted() -> bool {
    tracing::span_enabled!(target: "hatchery::runtime", Level::DEBUG)
}

impl TaskSpan {
    /// The span of a task that begins, where it is wanted, and what is to travel with all that the task
    /// begins: a trace of the user's as it came, or where this span is.
    pub(crate) fn begin(
        actor: &ActorId,
        tree: u128,
        endpoint: &str,
        caller: impl FnOnce() -> String,
        came: Option<Trace>,
    ) -> (Option<Box<Self>>, Option<Trace>) {
        if !are_wanted() {
            return (None, came);
        }
        let parent = came.as_ref().and_then(|came| Place::parse(came.traceparent()));
        let trace = parent.map_or(tree, |parent| parent.trace);
        let place = Place { trace, span: fresh() };
        let above = parent.and_then(|parent| lock(&LIVE).get(&parent.span).cloned());
        // Its parent is the one that it is made in. One of another subscriber's is none to this one.
        let span = above.unwrap_or_else(Span::none).in_scope(|| {
            tracing::debug_span!(
                target: "hatchery::runtime",
                "task",
                actor = actor.name,
                endpoint,
                caller = caller(),
                trace_id = format!("{trace:032x}"),
                span_id = format!("{:016x}", place.span),
                parent_id = parent.map(|parent| format!("{:016x}", parent.span)),
            )
        });
        lock(&LIVE).insert(place.span, span.clone());
        let travels = match came {
            Some(came) if !came.is_own() => came,
            _ => Trace::own(&place.to_string()),
        };
        (Some(Box::new(Self { span, number: Some(place.span) })), Some(travels))
    }

    /// The one that is current, for a task that is begun in it.
    pub(crate) fn current() -> Option<Box<Self>> {
        are_wanted().then(|| Box::new(Self { span: Span::current(), number: None }))
    }

    /// Makes it the current one of this thread until that is dropped.
    pub(crate) fn enter(&self) -> Entered<'_> {
        self.span.enter()
    }
}

impl Drop for TaskSpan {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            let gone = lock(&LIVE).remove(&number);
            // Not under the lock: whoever hears of spans may be at its end.
            drop(gone);
        }
    }
}

impl Place {
    /// Reads a `traceparent`: of the one version that there is, or of a later one, which goes on behind it.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (version, rest) = text.split_once('-')?;
        let (trace, rest) = rest.split_once('-')?;
        let (span, rest) = rest.split_once('-')?;
        let flags = rest.split_once('-').map_or(rest, |(flags, _)| flags);
        let goes_on = flags.len() < rest.len();
        hex(version, 2).filter(|&version| version != 0xff && !(version == 0 && goes_on))?;
        hex(flags, 2)?;
        let (trace, span) = (hex(trace, 32)?, u64::try_from(hex(span, 16)?).ok()?);
        (trace != 0 && span != 0).then_some(Self { trace, span })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", self.trace, self.span)
    }
}

/// A number of so many digits, all of them there and none a capital.
fn hex(digits: &str, count: usize) -> Option<u128> {
    let fits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let whole = digits.len() == count && digits.bytes().all(fits);
    whole.then(|| u128::from_str_radix(digits, 16).ok())?
}

/// A number for a span that no other of the tree has: random where the process begins, and scattered from
/// there, which costs no system call each.
fn fresh() -> u64 {
    static FIRST: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let first = FIRST.get_or_init(|| {
        let random = identity::fresh().unwrap_or_else(|_| u128::from(identity::pid()) << 32);
        u64::try_from(random >> 64).unwrap_or_default()
    });
    // The steps of SplitMix64: one to one, so that none comes twice.
    let step = COUNT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut number = first.wrapping_add(step);
    number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (number ^ (number >> 31)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_and_nothing_else_is_one() {
        let place = Place { trace: 0x4bf9 << 100 | 7, span: 0xf067_aa0b };
        let text = place.to_string();
        assert_eq!(text.len(), 55);
        assert_eq!(Place::parse(text.as_bytes()), Some(place));
        // Whoever comes later may say more behind it.
        let later = format!("cc{}-what else", &text[2..]);
        assert_eq!(Place::parse(later.as_bytes()), Some(place));
        for other in [
            String::new(),
            "my trace".to_owned(),
            text.to_uppercase().replace('B', "G"),
            format!("{text}-more"),
            format!("ff{}", &text[2..]),
            text.replace("4bf9", "4BF9"),
            text[..54].to_owned(),
            format!("00-{}-{}-01", "0".repeat(32), "1".repeat(16)),
            format!("00-{}-{}-01", "1".repeat(32), "0".repeat(16)),
            format!("00-{}-{}-01", "1".repeat(31), "1".repeat(16)),
        ] {
            assert_eq!(Place::parse(other.as_bytes()), None, "{other}");
        }
        assert_eq!(Place::parse(b"00-\xff"), None);
    }

    #[test]
    fn what_joins_spans_is_no_trace_of_a_users() {
        let place = Place { trace: 1, span: 2 };
        let own = Trace::own(&place.to_string());
        assert!(own.is_own());
        assert_eq!(Place::parse(own.traceparent()), Some(place));
        let user = Trace::new(place.to_string()).unwrap();
        assert!(!user.is_own());
        assert_eq!(Place::parse(user.traceparent()), Some(place));
    }

    #[test]
    fn no_number_of_a_span_comes_twice() {
        let numbers: std::collections::BTreeSet<_> = (0..10_000).map(|_| fresh()).collect();
        assert_eq!(numbers.len(), 10_000);
        assert!(!numbers.contains(&0));
    }
}
