//! Actors that launchers start: they serve as any actor does, whatever stands between, and whatever of
//! it ends, is stopped or talks out of turn, there is one clear error and nothing is left (P-L8, F-14).

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_lite::{FutureExt as _, future};
use hatchery::{
    CallError, CancelStatus, CommandLine, Context, Direct, Error, ErrorKind, ExitStatus, Launch,
    Launched, Launcher, Limits, Nursery, Options, Portal, Receives, Result, Sends, Starts,
    open_nursery,
};
use hatchery_tests::procfs::{self, Process, wait_for_any_exit};
use hatchery_tests::programs::Signal;
use hatchery_tests::worker::{alive, waits};

/// What the promise of one second comes to on a machine that is busy with other tests.
const SECOND: Duration = Duration::from_secs(10);

/// A shell that becomes the program.
fn shell() -> CommandLine {
    script("exec \"$0\" \"$@\"")
}

fn script(script: &str) -> CommandLine {
    CommandLine::new("sh").args(["-c", script])
}

/// No environment at all.
fn bare() -> CommandLine {
    CommandLine::new("env").arg("-i")
}

/// A shell that stays, with other programs on both ways.
fn between() -> CommandLine {
    script("cat | \"$0\" \"$@\" | cat")
}

#[hatchery::endpoint]
async fn pid() -> u32 {
    std::process::id()
}

#[hatchery::endpoint]
async fn variable(name: String) -> Option<String> {
    std::env::var(name).ok()
}

#[hatchery::endpoint]
async fn folder() -> PathBuf {
    std::env::current_dir().unwrap_or_default()
}

#[hatchery::endpoint]
async fn arguments() -> Vec<OsString> {
    std::env::args_os().skip(1).collect()
}

/// Writes to where its link was.
#[hatchery::endpoint]
#[expect(clippy::print_stdout, reason = "what it is for")]
async fn prints(text: String) -> usize {
    println!("{text}");
    let told = std::process::Command::new("echo").arg(&text).status();
    assert!(told.is_ok_and(|status| status.success()));
    text.len()
}

#[hatchery::endpoint]
async fn forever() {
    future::pending().await
}

/// What cannot be divided.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct ByZero(u64);

impl std::fmt::Display for ByZero {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} by nothing", self.0)
    }
}

impl std::error::Error for ByZero {}

#[hatchery::endpoint]
async fn divide(what: u64, by: u64) -> std::result::Result<u64, ByZero> {
    what.checked_div(by).ok_or(ByZero(what))
}

/// Sends so many, and takes as many in turn.
#[hatchery::context]
async fn counts(
    cx: Context<Starts<()>, Sends<u64>, Receives<u64>>,
    many: u64,
) -> Result<(u64, u64)> {
    let (send, mut recv) = cx.started(()).await?.open_stream().split();
    let sends = async {
        for n in 0..many {
            send.send(n).await?;
        }
        send.close().await
    };
    let receives = async {
        let (mut count, mut sum) = (0, 0);
        while let Some(n) = recv.recv().await? {
            (count, sum) = (count + 1, sum + n);
        }
        Ok((count, sum))
    };
    let (sent, received) = future::zip(sends, receives).await;
    sent.and(received)
}

/// Starts one below, by a launcher or not, and says who they are and which tree that one is of.
#[hatchery::endpoint]
async fn nests(launched: bool) -> Result<(u32, u32, Option<String>)> {
    open_nursery(async |nursery: Nursery| {
        let builder = nursery.actor("below");
        let below = match launched {
            true => builder.launcher(shell()).start().await?,
            false => builder.start().await?,
        };
        let tree = below.run(variable("HATCHERY_TREE".to_owned())).await?;
        let pid = below.run(pid()).await?;
        below.cancel().await?;
        Ok((std::process::id(), pid, tree))
    })
    .await
}

async fn with_launched<T>(
    launcher: impl Launcher + 'static,
    body: impl AsyncFnOnce(&Portal) -> Result<T>,
) -> Result<T> {
    open_nursery(async |nursery: Nursery| {
        let actor = nursery.actor("far").launcher(launcher).start().await?;
        let value = body(&actor).await?;
        assert!(actor.run(alive()).await?);
        actor.cancel().await?;
        Ok(value)
    })
    .await
}

/// The error of a start that has to fail, and how long it took.
async fn refused(launcher: CommandLine, within: Duration) -> (Error, Duration) {
    let began = Instant::now();
    let started = open_nursery(async |nursery: Nursery| {
        nursery.actor("far").launcher(launcher).start_within(within).start().await.map(drop)
    })
    .await;
    (started.expect_err("it is no actor"), began.elapsed())
}

fn process(pid: u32) -> Process {
    Process::of(i32::try_from(pid).expect("a pid")).expect("it lives")
}

/// Waits for the end of a process that nobody here has started.
#[track_caller]
fn assert_gone(process: &Process, within: Duration) {
    wait_for_any_exit(std::slice::from_ref(process), within);
    let now = Process::of(process.pid).filter(|now| now.is(process) && !now.is_zombie());
    assert!(now.is_none(), "{process} is left");
}

/// Those below this process whose name begins so.
fn below(name: &str) -> Vec<Process> {
    let below = procfs::descendants(procfs::own_pid(), &Process::all()).into_iter();
    below.filter(|one| one.name.starts_with(name) && !one.is_zombie()).collect()
}

#[hatchery::test]
async fn p_l8_a_launched_actor_serves_whatever_stands_between_and_has_its_name_and_its_tree() {
    for (which, launcher) in [shell(), bare(), between()].into_iter().enumerate() {
        with_launched(launcher, async |far| {
            assert_eq!(far.id().name, "far");
            assert_eq!(far.run(pid()).await?, far.id().pid);
            assert_ne!(far.id().pid, std::process::id());
            let error = far.run(divide(7, 0)).await.expect_err("by zero");
            let CallError::Endpoint { error, .. } = error else { panic!("{which}: {error}") };
            assert_eq!(error, ByZero(7));
            Ok(())
        })
        .await
        .unwrap_or_else(|error| panic!("{which}: {error:?}"));
    }
}

#[hatchery::test]
async fn a_launched_actor_has_its_arguments_its_folder_and_its_variables_as_far_as_its_launcher_goes()
-> Result<()> {
    let told = open_nursery(async |nursery: Nursery| {
        let actor = nursery.actor("far").launcher(shell()).arg("a b").arg("'c'");
        let actor = actor.env("FAR", "there").current_dir("/proc").start().await?;
        let arguments = actor.run(arguments()).await?;
        assert_eq!(arguments[..2], ["a b", "'c'"]);
        assert_eq!(arguments[2..], ["--hatchery-actor"]);
        assert_eq!(actor.run(folder()).await?, PathBuf::from("/proc"));
        assert_eq!(actor.run(variable("FAR".to_owned())).await?.as_deref(), Some("there"));
        let actor = nursery.actor("bare").launcher(bare()).env("FAR", "there").start().await?;
        assert_eq!(actor.run(variable("FAR".to_owned())).await?, None);
        // What a shell would take apart.
        let launcher = script("eval \"exec $*\"").arg("sh").through_a_shell();
        let actor =
            nursery.actor("quoted").launcher(launcher).arg("a  'b'\n$(exit)").start().await?;
        assert_eq!(actor.run(self::arguments()).await?[0], "a  'b'\n$(exit)");
        // With all of them.
        Err::<(), _>(Error::message("enough"))
    })
    .await;
    assert!(told.is_err_and(|error| error.to_string().contains("enough")));
    Ok(())
}

#[hatchery::test]
async fn streams_of_100_000_values_go_both_ways_and_arrive_whole() -> Result<()> {
    const MANY: u64 = 100_000;
    for launcher in [shell(), between()] {
        let (count, sum) = with_launched(launcher, async |far| {
            far.with_context(counts(MANY), async |mut cx, ()| {
                let (send, mut recv) = cx.open_stream()?.split();
                let sends = async {
                    for n in 0..MANY {
                        send.send(n).await?;
                    }
                    send.close().await
                };
                let receives = async {
                    let mut next = 0;
                    while let Some(n) = recv.recv().await? {
                        assert_eq!(n, next);
                        next += 1;
                    }
                    Ok::<_, Error>(next)
                };
                let (sent, received) = future::zip(sends, receives).await;
                sent?;
                assert_eq!(received?, MANY);
                cx.result().await
            })
            .await
        })
        .await?;
        assert_eq!((count, sum), (MANY, MANY * (MANY - 1) / 2));
    }
    Ok(())
}

#[hatchery::test]
async fn what_a_launched_actor_prints_does_not_reach_its_link() -> Result<()> {
    with_launched(shell(), async |far| {
        let text = "printed ".repeat(4);
        assert_eq!(far.run(prints(text.clone())).await?, text.len());
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn a_context_in_a_launched_actor_is_cancelled_and_so_is_the_actor() -> Result<()> {
    open_nursery(async |nursery: Nursery| {
        let actor = nursery.actor("far").launcher(between()).start().await?;
        let ended = std::env::temp_dir().join(format!("hatchery-launched-{}", std::process::id()));
        let path = ended.to_string_lossy().into_owned();
        let (context, ()) = actor.open_context(waits(path)).await?;
        assert_eq!(context.cancel().await, CancelStatus::Done);
        assert!(ended.exists(), "it was ended where it waits");
        std::fs::remove_file(ended).map_err(Error::new)?;
        assert_eq!(actor.cancel_actor().await?, CancelStatus::Done);
        let exit = actor.ended().await;
        assert_eq!(exit.status, Some(ExitStatus::LauncherCode(0)));
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn actors_are_nested_below_launched_ones_and_are_of_the_same_tree() -> Result<()> {
    for launched in [false, true] {
        let tree = open_nursery(async |nursery: Nursery| {
            let child = nursery.start_actor("near").await?;
            let tree = child.run(variable("HATCHERY_TREE".to_owned())).await?;
            child.cancel().await?;
            Ok::<_, Error>(tree)
        })
        .await?;
        let (far, below, its_tree) =
            with_launched(bare(), async |far| far.run(nests(launched)).await).await?;
        assert_ne!(far, below);
        let ends = procfs::Process::of(i32::try_from(below).unwrap_or_default());
        assert!(ends.is_none(), "it ended with its nursery: {ends:?}");
        // One that a launcher has started has no variable but what it inherits.
        if !launched {
            assert!(tree.is_some() && its_tree == tree, "{its_tree:?} {tree:?}");
        }
    }
    Ok(())
}

/// Starts through `nice`, which becomes the program.
#[derive(Debug)]
struct Nice;

impl Launcher for Nice {
    fn launch(&self, actor: &Launch<'_>) -> std::io::Result<Launched> {
        let mut command = std::process::Command::new("nice");
        command.arg("-n5").arg(actor.program()?).args(actor.args());
        Ok(Launched::Inherited(command))
    }
}

/// Has none.
#[derive(Debug)]
struct None_;

impl Launcher for None_ {
    fn launch(&self, actor: &Launch<'_>) -> std::io::Result<Launched> {
        Err(std::io::Error::other(format!("there is no machine for {}", actor.name())))
    }
}

#[hatchery::test]
async fn a_launcher_may_hand_on_the_inherited_pair_or_fail() -> Result<()> {
    with_launched(Direct, async |near| {
        assert_eq!(near.id().name, "far");
        Ok(())
    })
    .await?;
    with_launched(Nice, async |near| {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", near.id().pid));
        let stat = stat.map_err(Error::new)?;
        let nice = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(16));
        assert_eq!(nice, Some("5"));
        Ok(())
    })
    .await?;
    let error = with_launched(None_, async |_| Ok(())).await.expect_err("no machine");
    assert!(matches!(error.kind(), ErrorKind::Spawn), "{error:?}");
    assert!(error.to_string().contains("its launcher: there is no machine for far"), "{error}");
    let error = open_nursery(async |nursery: Nursery| {
        nursery.actor("far").launcher(shell()).inherit_stdin().start().await.map(drop)
    })
    .await
    .expect_err("its standard input is its link");
    assert!(error.to_string().contains("cannot have this process's standard input"), "{error}");
    Ok(())
}

#[hatchery::test]
async fn f_14_a_launcher_that_ends_never_connects_or_does_not_exist_is_a_clear_error() {
    let (error, _) = refused(script("echo 'no route' >&2; exit 255"), SECOND).await;
    assert!(matches!(error.kind(), ErrorKind::Spawn), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("its launcher, which exited with code 255 before"), "{text}");
    assert!(format!("{error:?}").contains("stderr    no route"), "{error:?}");
    let (error, _) = refused(script("kill -KILL $$"), SECOND).await;
    assert!(error.to_string().contains("was ended by signal 9 (SIGKILL) before"), "{error}");
    let (error, took) = refused(script("sleep 1000"), Duration::from_millis(300)).await;
    assert!(error.to_string().contains("was not up within 300ms"), "{error}");
    assert!(took < SECOND, "{took:?}");
    assert!(below("sleep").is_empty(), "its group is ended with it: {:?}", below("sleep"));
    let (error, _) = refused(CommandLine::new("/no/such/launcher"), SECOND).await;
    assert!(error.to_string().contains("start a process for `/no/such/launcher`"), "{error}");
}

#[hatchery::test]
async fn f_28_what_a_launcher_writes_ahead_of_a_greeting_is_quoted() {
    let banner = script("echo 'Welcome to far'; exec \"$0\" \"$@\"");
    for launcher in [banner, script("echo 'Welcome to far'; exec sleep 1000")] {
        let (error, took) = refused(launcher, SECOND).await;
        let text = error.to_string();
        assert!(text.contains("its link, began with \"Welcome to far"), "{text}");
        assert!(took < SECOND, "{took:?}");
    }
    let (error, _) = refused(script("echo hi; exit 3"), SECOND).await;
    let text = error.to_string();
    assert!(text.contains("code 3") && text.contains("began with \"hi\""), "{text}");
    // Nothing of it may take memory or time.
    let (error, _) = refused(script("cat /dev/zero"), SECOND).await;
    assert!(error.to_string().contains("began with \"\\0"), "{error}");
    assert!(error.to_string().len() < 4000, "{}", error.to_string().len());
    assert!(below("sleep").is_empty() && below("cat").is_empty());
}

#[hatchery::test]
async fn p_l8_an_actor_whose_launcher_dies_ends_within_a_second() {
    let died: Result<()> = open_nursery(async |nursery: Nursery| {
        let actor = nursery.actor("far").launcher(script("\"$0\" \"$@\"; exit $?")).start().await?;
        let child = process(actor.run(pid()).await?);
        let launcher = process(u32::try_from(child.parent).unwrap_or_default());
        assert_eq!(launcher.name, "sh");
        let lost = async {
            let lost = actor.run(forever()).await;
            Ok::<_, Error>((lost, child))
        };
        let kills = async {
            assert!(actor.run(alive()).await?);
            assert!(launcher.kill());
            future::pending().await
        };
        let (lost, child) = lost.or(kills).await?;
        assert_gone(&child, SECOND);
        let error = lost.expect_err("its launcher has died");
        assert!(error.to_string().contains("ended with its launcher"), "{error}");
        Ok(())
    })
    .await;
    let error = died.expect_err("an actor that has died unasked");
    let exit = error.exit().expect("a report");
    assert_eq!(exit.status, Some(ExitStatus::LauncherSignal(9)), "{error:?}");
}

/// Pings, so that what the system does not tell is found out soon.
fn lively() -> Options {
    let liveness = Some((Duration::from_millis(300), Duration::from_millis(600)));
    Options::new().limits(Limits { liveness, ..Limits::default() })
}

#[hatchery::test(options = lively())]
async fn p_l5_an_actor_that_dies_behind_a_launcher_that_holds_its_link_is_found_out_by_pings() {
    let died: Result<()> = open_nursery(async |nursery: Nursery| {
        let launcher = script("\"$0\" \"$@\"; exec sleep 1000");
        let actor = nursery.actor("far").launcher(launcher).start().await?;
        let child = process(actor.run(pid()).await?);
        let began = Instant::now();
        let kills = async {
            assert!(actor.run(alive()).await?);
            assert!(child.kill());
            future::pending().await
        };
        let lost = actor.run(forever()).or(kills).await;
        assert!(lost.is_err() && began.elapsed() < SECOND, "{lost:?}");
        Ok(())
    })
    .await;
    assert!(died.is_err(), "an actor has died unasked");
    assert!(below("sleep").is_empty());
}

#[hatchery::test(options = lively())]
async fn p_l5_a_launcher_that_is_stopped_is_found_out_on_both_sides() {
    let died: Result<()> = open_nursery(async |nursery: Nursery| {
        let actor = nursery.actor("far").launcher(between()).start().await?;
        let child = process(actor.run(pid()).await?);
        let began = Instant::now();
        let stops = async {
            assert!(actor.run(alive()).await?);
            for cat in below("cat") {
                assert!(cat.signal(Signal::STOP));
            }
            future::pending().await
        };
        let lost = actor.run(forever()).or(stops).await;
        assert!(lost.is_err() && began.elapsed() < SECOND, "{lost:?}");
        assert_gone(&child, SECOND);
        Ok(())
    })
    .await;
    assert!(died.is_err(), "an actor has died unasked");
    assert!(below("cat").is_empty() && below("sh").is_empty());
}
