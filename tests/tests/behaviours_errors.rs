//! Errors and values as users see them, row by row: what is left of an error at the other end, and
//! what becomes of a value that does not encode or does not decode.

use std::fmt;
use std::future::pending;
use std::sync::Mutex;

use hatchery::{
    CallError, CancelScope, CancelStatus, Cause, Context, Error, ErrorKind, Nursery, Portal,
    Receives, Result, Sends, Starts, TrySendError, cancel_scope, open_nursery, shield,
};
use hatchery_tests::sign::{Sign, raise, soon};
use hatchery_tests::worker::{self, alive};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

/// A value of a codec of its own: 13 does not encode, and 7 does not decode.
#[derive(Debug, PartialEq)]
struct Odd(u8);

impl Serialize for Odd {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            13 => Err(ser::Error::custom("thirteen is not sent")),
            value => to.serialize_u8(value ^ 0xff),
        }
    }
}

impl<'a> Deserialize<'a> for Odd {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        match u8::deserialize(from)? ^ 0xff {
            7 => Err(de::Error::custom("seven is not taken")),
            value => Ok(Self(value)),
        }
    }
}

/// Starts with one value and returns another.
#[hatchery::context]
async fn odd_ends(cx: Context<Starts<Odd>>, first: u8, result: u8) -> Result<Odd> {
    let _started = cx.started(Odd(first)).await?;
    Ok(Odd(result))
}

/// Starts with a value, and says why it was cancelled.
#[hatchery::context]
async fn odd_start(cx: Context<Starts<Odd>>, first: u8, says: String) -> Result<()> {
    let _started = cx.started(Odd(first)).await?;
    says_why(&says).await
}

async fn says_why(says: &str) -> Result<()> {
    let waited = cancel_scope(async |_scope| pending::<Result<()>>().await).await;
    let error = waited.expect_err("only a cancel ends it");
    shield(async { raise(says, &error.to_string()) }).await;
    Err(error)
}

/// Sends back what comes.
#[hatchery::context]
async fn odd_echo(cx: Context<Starts<()>, Sends<Odd>, Receives<Odd>>) -> Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    let mut count = 0;
    while let Some(value) = stream.recv().await? {
        stream.send(value).await?;
        count += 1;
    }
    Ok(count)
}

/// Sends one value, and says why it was cancelled.
#[hatchery::context]
async fn odd_sender(
    cx: Context<Starts<()>, Sends<Odd>, Receives<()>>,
    value: u8,
    says: String,
) -> Result<()> {
    let stream = cx.started(()).await?.open_stream();
    stream.send(Odd(value)).await?;
    says_why(&says).await
}

#[hatchery::endpoint]
async fn not_a_number() -> Result<u8> {
    "seven".parse().map_err(|error| Error::new(error))
}

/// An error that cannot be written.
#[derive(Debug, Serialize, Deserialize)]
struct Unspeakable;

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Err(fmt::Error)
    }
}

impl std::error::Error for Unspeakable {}

#[hatchery::endpoint]
async fn fails_unspeakably() -> Result<(), Unspeakable> {
    Err(Unspeakable)
}

#[hatchery::context]
async fn fails_at_once(cx: Context<Starts<()>, Sends<()>, Receives<()>>) -> Result<()> {
    let _stream = cx.started(()).await?.open_stream();
    Err(Error::message("at once"))
}

#[hatchery::context]
async fn waits(cx: Context<Starts<()>, Sends<()>, Receives<()>>) -> Result<()> {
    let _stream = cx.started(()).await?.open_stream();
    pending().await
}

#[hatchery::endpoint]
async fn forever() {
    pending().await
}

#[hatchery::endpoint]
async fn panics_in_two_lines() {
    panic!("one line\nand another")
}

#[hatchery::endpoint]
async fn takes(secret: String) -> u64 {
    secret.len() as u64
}

/// One actor for `body`, which is not to take long.
async fn with_worker(body: impl AsyncFnOnce(&Portal) -> Result<()>) -> Result<()> {
    soon(worker::with_worker(body)).await
}

#[hatchery::test]
async fn err_04_an_error_that_is_of_no_declared_type_keeps_its_name_and_its_text() -> Result<()> {
    with_worker(async |worker| {
        let error = worker.run(not_a_number()).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Failed);
        let report = error.report();
        assert!(report.type_name.ends_with("ParseIntError"), "{}", report.type_name);
        assert_eq!(report.message, "invalid digit found in string");
        assert!(report.location.as_ref().is_some_and(|at| at.file.ends_with("errors.rs")));
        assert!(std::error::Error::source(&error).is_none(), "its value has stayed there");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn err_06_one_failure_is_one_error_wherever_it_is_seen() -> Result<()> {
    let seen = Mutex::new(Vec::new());
    let see = |error: &Error| seen.lock().unwrap().push(error.report().id);
    let nursery: Result<()> = open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let block = worker
            .with_context(fails_at_once(), async |mut cx, ()| {
                let mut stream = cx.open_stream()?;
                see(&stream.recv().await.unwrap_err());
                see(&cx.result().await.unwrap_err());
                see(&cx.outcome().unwrap().unwrap_err());
                Err::<(), _>(cx.result().await.unwrap_err())
            })
            .await;
        see(block.as_ref().unwrap_err());
        block
    })
    .await;
    see(&nursery.unwrap_err());
    let seen = seen.into_inner().unwrap();
    assert_eq!(seen.len(), 5);
    assert!(seen.iter().all(|id| *id == seen[0]), "{seen:?}");
    Ok(())
}

#[hatchery::test]
async fn err_05_err_10_what_was_only_cancelled_is_no_failure_and_says_by_whom() -> Result<()> {
    // Every member ends by the cancel, and none of them is an error for that.
    let ended = cancel_scope(async |scope: CancelScope| {
        open_nursery(async |nursery: Nursery| {
            let worker = nursery.start_actor("worker").await?;
            nursery.run_in_actor("waits", forever()).await?;
            nursery.spawn(async { pending::<Result<()>>().await });
            let (cx, ()) = worker.open_context(waits()).await?;
            scope.cancel();
            cx.result().await
        })
        .await
    })
    .await?;
    assert!(ended.is_none());
    with_worker(async |worker| {
        let (cx, ()) = worker.open_context(waits()).await?;
        assert_eq!(cx.cancel().await, CancelStatus::Done);
        let error = cx.result().await.unwrap_err();
        let ErrorKind::Cancelled(by) = error.kind() else { panic!("{error:?}") };
        assert_eq!((by.canceller.pid, &by.cause), (std::process::id(), &Cause::Asked));
        assert_eq!(error.report().canceller.as_ref(), Some(&by.canceller));
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn err_11_every_error_can_be_written_and_says_what_where_and_who() -> Result<()> {
    with_worker(async |worker| {
        // One that cannot be written is one more way to fail, there and not here.
        let CallError::Other(error) = worker.run(fails_unspeakably()).await.unwrap_err() else {
            panic!("it has no text")
        };
        assert_eq!(*error.kind(), ErrorKind::Panicked, "{error:?}");

        let number = worker.run(not_a_number()).await.unwrap_err();
        let lines = worker.run(panics_in_two_lines()).await.unwrap_err();
        let refused = worker.call_named::<()>("nobody::knows", ()).await.unwrap_err();
        for (error, text) in [
            (&error, "panicked"),
            (&number, "invalid digit"),
            (&lines, "one line"),
            (&refused, "nobody"),
        ] {
            let (short, long) = (error.to_string(), format!("{error:?}"));
            assert!(short.contains(text) && long.contains(text), "{short}\n{long}");
            assert_eq!(error.origin().name, "worker");
            assert!(long.contains("worker"), "{long}");
        }
        let long = format!("{number:?}");
        for part in ["ParseIntError", "not_a_number", "behaviours_errors.rs"] {
            assert!(long.contains(part), "{part} is not in {long}");
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn msg_02_ctx_40_a_first_value_that_does_not_pass_fails_the_opening_and_both_know_which()
-> Result<()> {
    with_worker(async |worker| {
        let (_cx, first) = worker.open_context(odd_ends(3, 4)).await?;
        assert_eq!(first, Odd(3));
        // Not encoded: the callee is told before anything was sent, and the opener by its failure.
        let unsent = worker.open_context(odd_ends(13, 0)).await.unwrap_err();
        assert_eq!((unsent.kind(), unsent.origin().name.as_str()), (&ErrorKind::Failed, "worker"));
        // Not decoded: the opener is told, and the callee by the cause of its cancel.
        let says = Sign::new("msg_02");
        let untaken = worker.open_context(odd_start(7, says.path())).await.unwrap_err();
        assert_eq!(*untaken.kind(), ErrorKind::Codec, "{untaken:?}");
        let said = says.raised().await;
        for (error, name) in [
            (unsent.to_string(), "odd_ends"),
            (untaken.to_string(), "odd_start"),
            (said, "odd_start"),
        ] {
            assert!(error.contains("the first value of") && error.contains(name), "{error}");
        }
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn msg_03_ctx_40_a_result_that_does_not_pass_is_the_contexts_error_and_nobody_elses()
-> Result<()> {
    with_worker(async |worker| {
        let (other, _) = worker.open_context(odd_ends(1, 2)).await?;
        for (value, kind) in [(13, ErrorKind::Failed), (7, ErrorKind::Codec)] {
            let (cx, _) = worker.open_context(odd_ends(1, value)).await?;
            for _ in 0..2 {
                let error = cx.result().await.unwrap_err();
                assert_eq!(*error.kind(), kind, "{error:?}");
                let text = error.to_string();
                assert!(text.contains("the result of") && text.contains("odd_ends"), "{text}");
            }
        }
        assert_eq!(other.result().await?, Odd(2));
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn msg_04_a_value_that_does_not_decode_ends_its_own_context_and_both_know_which() -> Result<()>
{
    with_worker(async |worker| {
        let (mut other, ()) = worker.open_context(odd_echo()).await?;
        let mut beside = other.open_stream()?;
        // On the way there: the callee's failure is what the opener is told.
        let there: Result<()> = worker
            .with_context(odd_echo(), async |mut cx, ()| {
                cx.open_stream()?.send(Odd(7)).await?;
                pending().await
            })
            .await;
        let there = there.unwrap_err();
        assert_eq!(there.origin().name, "worker");
        // On the way back: the opener's failure is what the callee is cancelled for.
        let says = Sign::new("msg_04");
        let back: Result<()> = worker
            .with_context(odd_sender(7, says.path()), async |mut cx, ()| {
                cx.open_stream()?.recv().await.map(drop)
            })
            .await;
        let back = back.unwrap_err();
        assert_eq!(*back.kind(), ErrorKind::Codec, "{back:?}");
        for text in [there.to_string(), back.to_string(), says.raised().await] {
            assert!(text.contains("value 1 from"), "{text}");
        }
        beside.send(Odd(5)).await?;
        assert_eq!(beside.recv().await?, Some(Odd(5)));
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn msg_06_str_23_a_value_that_does_not_encode_fails_its_send_and_nothing_was_sent()
-> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(odd_echo()).await?;
        let mut stream = cx.open_stream()?;
        stream.send(Odd(1)).await?;
        let error = stream.send(Odd(13)).await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Codec, "{error:?}");
        let TrySendError::Failed(error) = stream.try_send(Odd(13)).unwrap_err() else {
            panic!("there is room")
        };
        assert_eq!(*error.kind(), ErrorKind::Codec, "{error:?}");
        stream.send(Odd(2)).await?;
        stream.close().await?;
        // A codec of one's own works both ways.
        assert_eq!(stream.recv().await?, Some(Odd(1)));
        assert_eq!(stream.recv().await?, Some(Odd(2)));
        assert_eq!(stream.recv().await?, None);
        assert_eq!(cx.result().await?, 2);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn msg_08_what_no_value_passes_can_be_cancelled_and_lives_on_all_the_same() -> Result<()> {
    with_worker(async |worker| {
        let says = Sign::new("msg_08");
        let (mut cx, ()) = worker.open_context(odd_sender(7, says.path())).await?;
        let mut stream = cx.open_stream()?;
        assert_eq!(*stream.recv().await.unwrap_err().kind(), ErrorKind::Codec);
        assert_eq!(cx.cancel().await, CancelStatus::Done);
        assert!(cx.cancel_called() && cx.cancel_acked());
        // Why it was cancelled first.
        let said = says.raised().await;
        assert!(said.contains("value 1 from") && said.contains("odd_sender"), "{said}");
        assert!(worker.run(alive()).await?);
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn msg_09_what_is_shown_for_debugging_holds_none_of_the_values() -> Result<()> {
    const SECRET: &str = "correct horse";
    with_worker(async |worker| {
        let call = takes(SECRET.into());
        let mut shown = vec![format!("{call:?}")];
        assert_eq!(worker.run(call).await?, SECRET.len() as u64);
        let (mut cx, ()) = worker.open_context(waits()).await?;
        let stream = cx.open_stream()?;
        shown.push(format!("{cx:?} {stream:?} {worker:?}"));
        shown.push(format!("{:?}", TrySendError::Full(SECRET)));
        for text in shown {
            assert!(!text.contains(SECRET), "{text}");
            assert!(!text.is_empty());
        }
        Ok(())
    })
    .await
}
