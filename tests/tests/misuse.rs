//! Refusals and misuse: each is an error that says what to do, and harms nothing else.

use std::collections::BTreeMap;

use hatchery::{
    Error, ErrorKind, Nursery, Options, Refusal, Result, open_nursery, open_root_actor,
};
use hatchery_tests::build::{Kind, built};

#[hatchery::endpoint]
async fn add(a: u64, b: u64) -> u64 {
    a + b
}

#[hatchery::endpoint]
async fn double(a: u64) -> u64 {
    a * 2
}

#[hatchery::endpoint]
async fn only_here() {}

/// Under the same name, something else in the other program: the signature as written is the same.
type Body = Vec<u8>;

#[hatchery::endpoint]
async fn text(body: Body) -> u64 {
    body.len() as u64
}

#[hatchery::endpoint]
async fn opens_a_root() -> Result<()> {
    open_root_actor(Options::new(), async |_root| Ok::<_, Error>(())).await
}

#[hatchery::context]
async fn talk(cx: hatchery::Context) -> Result<()> {
    cx.started(()).await?;
    Ok(())
}

fn refusal(error: &Error) -> Refusal {
    let ErrorKind::Refused(refusal) = error.kind() else { panic!("{error:?}") };
    *refusal
}

#[hatchery::test]
async fn rpc_02_what_is_not_exposed_is_refused_by_name_and_the_actor_lives_on() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.actor("worker").expose::<double>().start().await?;
        let error = worker.run(add(1, 1)).await.unwrap_err();
        assert_eq!(refusal(&error), Refusal::NotExposed);
        let message = error.to_string();
        for part in ["worker", "misuse::add", "expos"] {
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(worker.run(double(4)).await?, 8);
        worker.cancel().await
    })
    .await
}

#[hatchery::test]
async fn rpc_03_msg_10_another_programs_endpoints_are_checked_name_by_name() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let program = built(Kind::Bin, "stranger");
        let stranger = nursery.actor("stranger").program(program).start().await?;
        let unknown = stranger.run(only_here()).await.unwrap_err();
        assert_eq!(refusal(&unknown), Refusal::Unknown, "{unknown}");
        assert!(unknown.to_string().contains("misuse::only_here"), "{unknown}");
        let other = stranger.run(add(1, 1)).await.unwrap_err();
        assert_eq!(refusal(&other), Refusal::SchemaMismatch, "{other}");
        assert!(other.to_string().contains("misuse::add"), "{other}");
        // RPC-04: six bytes that are no text.
        let bad = stranger.run(text(vec![0xff; 6])).await.unwrap_err();
        assert_eq!(refusal(&bad), Refusal::BadArguments, "{bad}");
        assert!(bad.to_string().contains("misuse::text"), "{bad}");
        assert_eq!(stranger.run(text(b"six!!!".to_vec())).await?, 6);
        let context = stranger.open_context(talk()).await.unwrap_err();
        assert_eq!(refusal(&context), Refusal::Unknown, "{context}");
        assert_eq!(stranger.run(double(21)).await?, 42);
        stranger.cancel().await
    })
    .await
}

#[hatchery::test]
async fn rpc_03_rpc_04_what_is_not_linked_in_at_all_is_called_by_its_name() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let program = built(Kind::Bin, "stranger");
        let stranger = nursery.actor("stranger").program(program).start().await?;
        let names = ["you", "me"].map(str::to_owned);
        let greets = "stranger::greets";
        let greeted = stranger.call_named::<BTreeMap<String, u32>>(greets, (&names[..], 3_u32));
        assert_eq!(greeted.await?, names.into_iter().map(|name| (name, 3)).collect());

        let unknown = stranger.call_named::<()>("stranger::nobody", ()).await.unwrap_err();
        assert_eq!(refusal(&unknown), Refusal::Unknown, "{unknown}");
        assert!(unknown.to_string().contains("stranger::nobody"), "{unknown}");
        // Too few, none at all, too many, others: none of them runs.
        let wrong = [
            stranger.call_named::<()>(greets, (vec!["you"],)).await,
            stranger.call_named::<()>(greets, ()).await,
            stranger.call_named::<()>(greets, (vec!["you"], 1_u32, 2_u32)).await,
            stranger.call_named::<()>(greets, (vec![[0xff_u8; 3]], 1_u32)).await,
        ];
        for refused in wrong.map(Result::unwrap_err) {
            assert_eq!(refusal(&refused), Refusal::BadArguments, "{refused}");
            assert!(refused.to_string().contains(greets), "{refused}");
        }
        // It has run, and what it gave is something else.
        let other = stranger.call_named::<Vec<f64>>(greets, (vec!["you"], 1_u32)).await;
        assert_eq!(*other.unwrap_err().kind(), ErrorKind::Codec);
        // Its own failure, of a type that is not known here either.
        let failed = stranger.call_named::<u64>("stranger::fails", ("seven",)).await.unwrap_err();
        assert_eq!(*failed.kind(), ErrorKind::Failed, "{failed:?}");
        assert!(failed.report().type_name.ends_with("ParseIntError"), "{failed:?}");
        assert_eq!(failed.origin().name, "stranger");
        assert_eq!(stranger.call_named::<u64>("stranger::fails", ("7",)).await?, 7);
        stranger.cancel().await
    })
    .await
}

#[hatchery::test]
async fn can_06_a_one_shot_actor_of_another_signature_fails_its_nursery() -> Result<()> {
    let error = open_nursery(async |nursery: Nursery| {
        let program = built(Kind::Bin, "stranger");
        nursery.actor("stranger").program(program).run(add(1, 1)).await?;
        std::future::pending::<Result<()>>().await
    })
    .await
    .unwrap_err();
    assert!(error.to_string().contains("misuse::add"), "{error}");
    assert_eq!(refusal(&error), Refusal::SchemaMismatch, "{error:?}");
    Ok(())
}

#[hatchery::test]
async fn a_child_that_forgot_the_entry_is_a_spawn_error_that_says_what_to_do() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let program = built(Kind::Bin, "forgetful");
        let error = nursery.actor("forgetful").program(program).start().await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Spawn, "{error:?}");
        let report = format!("{error:?}");
        assert!(report.contains("forgetful") && report.contains("hatchery::init()"), "{report}");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn spn_18_a_second_root_is_misuse_in_the_root_and_in_a_child() -> Result<()> {
    let here: Result<()> = open_root_actor(Options::new(), async |_root| Ok(())).await;
    assert_eq!(*here.unwrap_err().kind(), ErrorKind::Misuse);
    open_nursery(async |nursery: Nursery| {
        let worker = nursery.start_actor("worker").await?;
        let there = worker.run(opens_a_root()).await.unwrap_err();
        assert_eq!(*there.kind(), ErrorKind::Misuse, "{there:?}");
        assert_eq!(there.origin().name, "worker");
        worker.cancel().await
    })
    .await
}

#[hatchery::test]
async fn spn_11_a_program_that_is_not_there_is_a_spawn_error() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let error = nursery.actor("lost").program("/no/such/program").start().await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Spawn, "{error:?}");
        let message = error.to_string();
        assert!(message.contains("lost") && message.contains("/no/such/program"), "{message}");
        // Told to whoever started it, it is not the nursery's failure as well.
        let worker = nursery.start_actor("worker").await?;
        assert_eq!(worker.run(add(1, 1)).await?, 2);
        worker.cancel().await
    })
    .await
}

#[hatchery::test]
async fn spn_11_a_program_that_exits_at_once_is_a_spawn_error_with_its_status() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let error = nursery.actor("false").program("/bin/false").start().await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Spawn, "{error:?}");
        let exit = error.exit().unwrap();
        assert_eq!(exit.status, Some(hatchery::ExitStatus::Code(1)));
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn spn_11_what_a_failing_start_wrote_to_stderr_is_in_the_error() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let shell = nursery.actor("sh").program("/bin/sh");
        let error =
            shell.arg("-c").arg("echo no such library >&2; exit 9").start().await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Spawn, "{error:?}");
        let exit = error.exit().unwrap();
        assert_eq!(exit.status, Some(hatchery::ExitStatus::Code(9)));
        assert!(exit.stderr_tail.contains("no such library"), "{exit:?}");
        assert!(format!("{error:?}").contains("no such library"), "{error:?}");
        Ok(())
    })
    .await
}
