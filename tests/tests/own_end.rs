//! An actor whose main task ends by itself ends in the order of P-C7, as if it were cancelled: what
//! its parent has open in it ends first, each with its outcome, then its hooks run, then its result
//! is told, then it says goodbye.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_lite::future::pending;
use hatchery::{
    Context, Error, Nursery, OpenContext, Receives, Result, Sends, Starts, on_exit, open_nursery,
    shield,
};
use hatchery_tests::sign::{raise, raised};

/// Ten times what an end that waits for nothing may take.
const SOON: Duration = Duration::from_secs(3);

/// A folder of notes and signs, gone with this.
struct Notes(PathBuf);

impl Notes {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("own-end-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        Self(folder)
    }

    fn path(&self) -> String {
        self.0.to_str().expect("a path").to_owned()
    }

    fn words(&self) -> Vec<String> {
        let text = fs::read_to_string(self.0.join("words")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Notes {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn note(folder: &str, word: &str) -> Result<()> {
    let words = Path::new(folder).join("words");
    let file = OpenOptions::new().append(true).create(true).open(words);
    file.and_then(|mut file| writeln!(file, "{word}")).map_err(Error::new)
}

/// A sign in that folder.
fn sign(folder: &str, name: &str) -> String {
    format!("{folder}/{name}")
}

#[hatchery::endpoint]
async fn add(a: u64, b: u64) -> u64 {
    a + b
}

/// The main task: two hooks, then a result once it is told to.
#[hatchery::endpoint]
async fn works(folder: String) -> Result<u64> {
    for hook in ["hook 1", "hook 2"] {
        let folder = folder.clone();
        on_exit(move || note(&folder, hook));
    }
    raised(&sign(&folder, "return")).await;
    note(&folder, "main")?;
    Ok(42)
}

/// Waits for what the actor is cancelled with it, a task below it first; takes its time if it is
/// `slow`.
#[hatchery::context]
async fn open_work(
    cx: Context<Starts<()>, Sends<()>, Receives<()>>,
    folder: String,
    name: String,
    slow: bool,
) -> Result<()> {
    let _started = cx.started(()).await?;
    let below = (folder.clone(), name.clone());
    let ended: Result<()> = open_nursery(async |nursery: Nursery| {
        nursery.spawn(async move {
            let (folder, name) = below;
            let waited = hatchery::cancel_scope(async |_| pending::<Result<()>>().await).await;
            note(&folder, &format!("below {name}"))?;
            waited.map(drop)
        });
        pending().await
    })
    .await;
    if slow {
        shield(raised(&sign(&folder, "go"))).await;
    }
    note(&folder, &format!("work {name}"))?;
    ended
}

/// What such a context comes to: the end of the actor, which nobody outside asked for.
async fn ends(cx: &OpenContext<open_work>) {
    let error = cx.result().await.unwrap_err();
    let by = error.cancelled().unwrap_or_else(|| panic!("{error:?}"));
    assert_eq!(by.canceller.name, "works", "{error:?}");
}

#[hatchery::test]
async fn p_c7_a_main_task_that_ends_by_itself_ends_what_is_open_in_the_order_of_a_cancel() {
    let notes = Notes::new("order");
    let folder = notes.path();
    let mut kept = None;
    let ended: Result<u64> = open_nursery(async |nursery: Nursery| {
        let actor = nursery.run_in_actor("works", works(folder.clone())).await?;
        let open = |name: &str, slow| open_work(folder.clone(), name.to_owned(), slow);
        let (first, ()) = actor.open_context(open("first", false)).await?;
        let (second, ()) = actor.open_context(open("second", false)).await?;
        let (slow, ()) = actor.open_context(open("slow", true)).await?;
        let begin = Instant::now();
        raise(&sign(&folder, "return"), "");
        ends(&first).await;
        ends(&second).await;
        // One task is still at it: nothing that comes later has happened, and no work is taken.
        let refused = actor.run(add(1, 2)).await.unwrap_err();
        assert!(refused.to_string().contains("the actor is ending"), "{refused:?}");
        let words = notes.words();
        assert_eq!(words[0], "main");
        assert!(
            !words.iter().any(|word| word.contains("hook") || word == "work slow"),
            "{words:?}"
        );
        raise(&sign(&folder, "go"), "");
        ends(&slow).await;
        kept = Some(slow);
        let result = actor.result::<works>().await?;
        // Its result is told behind its hooks.
        let words = notes.words();
        for name in ["first", "second", "slow"] {
            let at = |what: &str| words.iter().position(|word| *word == format!("{what} {name}"));
            assert!(at("below").is_some() && at("below") < at("work"), "{words:?}");
        }
        assert_eq!(words[words.len() - 3..], ["work slow", "hook 2", "hook 1"]);
        assert_eq!(words.len(), 1 + 6 + 2, "{words:?}");
        assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
        Ok(result)
    })
    .await;
    assert_eq!(ended.unwrap(), 42);
    // What is kept of the link, which has ended: the last outcome, the result, goodbye, and only
    // then the parent's.
    let steps = hatchery::__private::last_steps();
    drop(kept);
    let [link] = &steps[..] else { panic!("{steps:?}") };
    let received = link.split(", ").filter_map(|step| step.strip_prefix("received "));
    let received: Vec<_> = received.map(|step| step.split(" (").next().unwrap_or(step)).collect();
    let last = ["Error of dialog 6", "Return of dialog 0", "Goodbye of dialog 0"];
    assert!(received.ends_with(&last), "{link}");
    assert!(link.split(", ").last().is_some_and(|step| step.starts_with("sent Goodbye")), "{link}");
}
