//! Descriptors that one process sends to another (P-F6): what they lead to, when they are closed, and that
//! neither side has one left, whatever ends what they were sent with. Each test's have a name of their own,
//! by which `/proc` tells them from others.

use std::fs::File;
use std::io::{PipeWriter, Read, Seek as _, Write as _};
use std::os::fd::AsFd as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_lite::{FutureExt as _, Stream, StreamExt as _, stream};
use hatchery::codec::MessagePack;
use hatchery::{
    Address, Context, Descriptor, Error, ErrorKind, LocalPortal, Nursery, Options, ParentPortal,
    Portal, Publisher, Receives, Result, Sends, Starts, connect, open_nursery, query_actor,
};
use hatchery_tests::procfs::{descriptors, descriptors_of};
use hatchery_tests::sign::{Sign, raised, soon, until};
use hatchery_tests::worker::{alive, with_mortal, with_worker};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

#[path = "descriptors/by_hand.rs"]
mod by_hand;
use by_hand::with_registrar;

/// A name that no other test's have.
fn name(of: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    format!("{of}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A file without a place, that begins with this text.
fn memfd(name: &str, text: &str) -> Descriptor {
    let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC).expect("a memfd"));
    file.write_all(text.as_bytes()).expect("room");
    file.into()
}

/// What is in it, from its beginning on.
fn text_of(file: Descriptor) -> String {
    let mut file = opened(file);
    file.rewind().expect("a file");
    to_the_end(&mut file)
}

fn opened(file: Descriptor) -> File {
    File::from(file.into_fd().expect("room"))
}

fn to_the_end(from: &mut impl Read) -> String {
    let mut text = String::new();
    from.read_to_string(&mut text).expect("a file");
    text
}

/// How many of this name this process has open.
fn here(name: &str) -> usize {
    descriptors().iter().filter(|(_, target)| target.contains(name)).count()
}

/// How many another has.
fn there(pid: u32, name: &str) -> usize {
    let pid = i32::try_from(pid).expect("a pid");
    descriptors_of(pid).iter().filter(|(_, target)| target.contains(name)).count()
}

/// Waits until neither process has any of this name.
async fn none_left(worker: &Portal, name: &str) {
    let pid = worker.id().pid;
    until("all are closed here", || here(name) == 0).await;
    until("all are closed there", || there(pid, name) == 0).await;
}

#[hatchery::endpoint]
async fn reads(file: Descriptor) -> String {
    text_of(file)
}

#[hatchery::endpoint(codec = MessagePack)]
async fn reads_named(files: Vec<Named>) -> Vec<Named> {
    files.into_iter().rev().collect()
}

#[derive(Serialize, Deserialize)]
struct Named {
    name: String,
    file: Option<Descriptor>,
}

#[hatchery::endpoint]
async fn reads_all(files: Vec<Descriptor>) -> Vec<String> {
    files.into_iter().map(text_of).collect()
}

#[hatchery::endpoint]
async fn gives(name: String, count: usize) -> Vec<Descriptor> {
    (0..count).map(|number| memfd(&name, &number.to_string())).collect()
}

#[hatchery::endpoint]
async fn is_close_on_exec(file: Descriptor) -> bool {
    closes_on_exec(&file)
}

fn closes_on_exec(file: &Descriptor) -> bool {
    let flags = rustix::io::fcntl_getfd(file.as_fd()).expect("open");
    flags.contains(rustix::io::FdFlags::CLOEXEC)
}

/// Writes, and closes it with its own end.
#[hatchery::endpoint]
async fn writes(into: Descriptor, text: String) {
    opened(into).write_all(text.as_bytes()).expect("a reader");
}

/// Reads to the end, which comes once nobody has the other end open.
#[hatchery::endpoint]
async fn drains(from: Descriptor) -> String {
    smol::unblock(|| to_the_end(&mut opened(from))).await
}

#[hatchery::test]
async fn p_f6_files_go_both_ways_in_any_value_and_codec() -> Result<()> {
    let name = name("both");
    with_worker(async |worker| {
        assert_eq!(worker.run(reads(memfd(&name, "hello"))).await?, "hello");
        assert!(worker.run(is_close_on_exec(memfd(&name, ""))).await?);
        let given = worker.run(gives(name.clone(), 3)).await?;
        assert!(given.iter().all(closes_on_exec));
        let texts: Vec<_> = given.into_iter().map(text_of).collect();
        assert_eq!(texts, ["0", "1", "2"]);
        // A call keeps its own for as long as it is there.
        let kept = memfd(&name, "kept");
        let call = reads(kept.clone());
        for _ in 0..3 {
            assert_eq!(worker.run(call.clone()).await?, "kept");
        }
        drop(call);
        assert_eq!(text_of(kept), "kept");
        let named = |name: &str, file| Named { name: name.to_owned(), file };
        let files = vec![
            named("one", Some(memfd(&name, "1"))),
            named("none", None),
            named("two", Some(memfd(&name, "2"))),
        ];
        let back = worker.run(reads_named(files)).await?;
        let names: Vec<_> = back.iter().map(|named| named.name.as_str()).collect();
        assert_eq!(names, ["two", "none", "one"]);
        let files = back.into_iter().filter_map(|named| named.file);
        assert_eq!(files.map(text_of).collect::<Vec<_>>(), ["2", "1"]);
        none_left(worker, &name).await;
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn p_f6_an_end_of_a_pipe_is_closed_with_the_last_that_has_it() -> Result<()> {
    with_worker(async |worker| {
        let (mut read, write) = std::io::pipe().unwrap();
        worker.run(writes(write.into(), "from there".into())).await?;
        assert_eq!(to_the_end(&mut read), "from there");
        let (read, mut write) = std::io::pipe().unwrap();
        let drained = worker.run(drains(read.into()));
        let says = async {
            write.write_all(b"from here").unwrap();
            drop::<PipeWriter>(write);
            std::future::pending().await
        };
        assert_eq!(drained.or(says).await?, "from here");
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn p_f6_sixteen_go_at_once_and_seventeen_are_an_error_on_either_side() -> Result<()> {
    let name = name("many");
    with_worker(async |worker| {
        let some = |count: usize| -> Vec<_> {
            (0..count).map(|number| memfd(&name, &number.to_string())).collect()
        };
        let all: Vec<_> = (0..16).map(|number| number.to_string()).collect();
        assert_eq!(worker.run(reads_all(some(16))).await?, all);
        let refused = worker.run(reads_all(some(17))).await.unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::Codec);
        assert!(refused.to_string().contains("at most 16 descriptors (P-F6)"), "{refused}");
        assert_eq!(worker.run(gives(name.clone(), 16)).await?.len(), 16);
        let refused = worker.run(gives(name.clone(), 17)).await.unwrap_err();
        assert!(refused.to_string().contains("at most 16 descriptors (P-F6)"), "{refused}");
        none_left(worker, &name).await;
        Ok(())
    })
    .await
}

type Files = Option<Descriptor>;

/// Sends everything back, and returns the last.
#[hatchery::context]
async fn echo(
    cx: Context<Starts<Descriptor>, Sends<Files>, Receives<Files>>,
    first: Descriptor,
) -> Result<Files> {
    let mut stream = cx.started(first).await?.open_stream();
    let mut last = None;
    while let Some(value) = stream.recv().await? {
        last.clone_from(&value);
        stream.send(value).await?;
    }
    Ok(last)
}

#[hatchery::test]
async fn p_f6_every_value_of_a_context_carries_them() -> Result<()> {
    let name = name("context");
    with_worker(async |worker| {
        let (mut cx, first) = worker.open_context(echo(memfd(&name, "first"))).await?;
        assert_eq!(text_of(first), "first");
        let mut echoed = cx.open_stream()?;
        for number in 0..200 {
            let value = (number % 3 == 1).then(|| memfd(&name, &number.to_string()));
            if number % 2 == 0 {
                echoed.send(value).await?;
            } else {
                echoed.try_send(value).map_err(Error::new)?;
            }
            // By the async call and as a stream.
            let back = if number % 4 < 2 {
                echoed.recv().await?.expect("an echo")
            } else {
                echoed.next().await.expect("an echo")?
            };
            let back = back.map(text_of);
            assert_eq!(back, (number % 3 == 1).then(|| number.to_string()));
        }
        echoed.send(Some(memfd(&name, "last"))).await?;
        echoed.close().await?;
        while echoed.recv().await?.is_some() {}
        // The answer stays (P-D9), and each has one of its own.
        for _ in 0..2 {
            assert_eq!(text_of(cx.result().await?.expect("the last")), "last");
        }
        drop((cx, echoed));
        none_left(worker, &name).await;
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn p_f6_one_among_many_values_goes_by_itself() -> Result<()> {
    let name = name("many");
    with_worker(async |worker| {
        let (mut cx, first) = worker.open_context(echo(memfd(&name, "first"))).await?;
        assert_eq!(text_of(first), "first");
        let mut echoed = cx.open_stream()?;
        let numbers = [None, None, Some("1"), Some("2"), None, Some("3")];
        let values = numbers.map(|number| number.map(|number| memfd(&name, number)));
        let (mut left, mut sent) = (&values[..], Vec::new());
        while !left.is_empty() {
            sent.push(echoed.send_many(left).await?);
            left = &left[sent.last().copied().unwrap_or(left.len())..];
        }
        assert_eq!(sent, [2, 1, 1, 1, 1]);
        drop(values);
        for number in numbers {
            let back = echoed.recv().await?.expect("an echo");
            assert_eq!(back.map(text_of).as_deref(), number);
        }
        echoed.close().await?;
        assert_eq!(text_of(cx.result().await?.expect("the last")), "3");
        drop((cx, echoed));
        none_left(worker, &name).await;
        Ok(())
    })
    .await
}

/// Yields so many, each with its number.
#[hatchery::endpoint]
fn produces(name: String, count: u64) -> impl Stream<Item = Descriptor> {
    stream::iter((0..count).map(move |number| memfd(&name, &number.to_string())))
}

#[hatchery::test]
async fn p_f6_a_slow_reader_holds_its_sender_up_and_gets_them_all() -> Result<()> {
    let name = name("slow");
    with_worker(async |worker| {
        let mut source = worker.open_stream_from(produces(name.clone(), 300)).await?;
        // The window is full of them, and the link goes on.
        until("the window is full", || here(&name) >= 16).await;
        for _ in 0..20 {
            assert!(worker.run(alive()).await?);
            assert!(here(&name) <= 17, "{} wait here", here(&name));
        }
        for number in 0..300 {
            let file = source.recv().await?.expect("as many as were asked for");
            assert_eq!(text_of(file), number.to_string());
        }
        assert!(source.recv().await?.is_none());
        drop(source);
        none_left(worker, &name).await;
        Ok(())
    })
    .await
}

/// Reads nothing, and says when it was told to end.
#[hatchery::context]
async fn reads_nothing(
    cx: Context<Starts<()>, Sends<Files>, Receives<Files>>,
    name: String,
) -> Result<()> {
    let stream = cx.started(()).await?.open_stream();
    for number in 0..10 {
        stream.send(Some(memfd(&name, &number.to_string()))).await?;
    }
    std::future::pending().await
}

#[hatchery::test]
async fn p_f6_what_is_cancelled_or_dropped_unread_leaves_none() -> Result<()> {
    let name = name("unread");
    with_worker(async |worker| {
        for end in ["cancel", "drop", "drop the stream"] {
            let (mut cx, ()) = worker.open_context(reads_nothing(name.clone())).await?;
            let stream = cx.open_stream()?;
            for _ in 0..10 {
                stream.send(Some(memfd(&name, ""))).await?;
            }
            let pid = worker.id().pid;
            until("they wait here", || here(&name) == 10).await;
            until("they wait there", || there(pid, &name) == 10).await;
            match end {
                "cancel" => {
                    let _ = cx.cancel().await;
                    drop(stream);
                }
                "drop" => drop(stream),
                _ => {
                    drop(stream);
                    until("nobody reads", || here(&name) == 0).await;
                }
            }
            drop(cx);
            none_left(worker, &name).await;
        }
        // A producer that is cancelled in the middle, and a call whose answer nobody waits for.
        let mut source = worker.open_stream_from(produces(name.clone(), u64::MAX)).await?;
        assert_eq!(text_of(source.recv().await?.expect("the first")), "0");
        let _ = source.cancel().await;
        drop(source);
        drop(soon(worker.run(gives(name.clone(), 16))).await?);
        let given = worker.run(gives(name.clone(), 16));
        let none = futures_lite::future::poll_once(given).await;
        assert!(none.is_none(), "it was asked for and not awaited");
        none_left(worker, &name).await;
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn p_f6_a_process_that_is_killed_takes_none_along_and_leaves_none() -> Result<()> {
    let name = name("killed");
    with_mortal(async |worker| {
        let mut source = worker.open_stream_from(produces(name.clone(), u64::MAX)).await?;
        for number in 0..50 {
            assert_eq!(text_of(source.recv().await?.expect("one")), number.to_string());
        }
        until("more wait", || here(&name) >= 8).await;
        let _ = worker.kill().await;
        // Those that had arrived whole are still to be had (P-D7).
        let mut number = 50;
        let ended = loop {
            match source.recv().await {
                Ok(Some(file)) => assert_eq!(text_of(file), number.to_string()),
                Ok(None) => panic!("its end was not graceful"),
                Err(error) => break error,
            }
            number += 1;
        };
        assert!(matches!(ended.kind(), ErrorKind::Died(_)), "{ended}");
        drop(source);
        until("all are closed", || here(&name) == 0).await;
        Ok(())
    })
    .await?;
    with_mortal(async |worker| {
        let (mut cx, ()) = worker.open_context(reads_nothing(name.clone())).await?;
        let stream = cx.open_stream()?;
        let sends = async {
            loop {
                if let Err(error) = stream.send(Some(memfd(&name, ""))).await {
                    break error;
                }
            }
        };
        let kills = async {
            let pid = worker.id().pid;
            until("the window is full", || there(pid, &name) >= 16).await;
            worker.kill().await
        };
        let (error, _) = futures_lite::future::zip(sends, kills).await;
        assert!(matches!(error.kind(), ErrorKind::Died(_)), "{error}");
        drop((cx, stream));
        until("all are closed", || here(&name) == 0).await;
        Ok(())
    })
    .await
}

/// Has no room for more than so many descriptors beside those that it has, or for as many as before.
#[hatchery::endpoint]
async fn has_room_for(more: Option<u64>) {
    static BEFORE: OnceLock<Option<u64>> = OnceLock::new();
    let limit = getrlimit(Resource::Nofile);
    let before = *BEFORE.get_or_init(|| limit.current);
    let current = match more {
        Some(more) => {
            // The lowest numbers are given out first.
            let mut free = (0..).filter(|number| {
                !std::fs::exists(format!("/proc/self/fd/{number}")).unwrap_or(false)
            });
            free.nth(usize::try_from(more).expect("few"))
        }
        None => before,
    };
    setrlimit(Resource::Nofile, Rlimit { current, ..limit }).expect("a limit");
}

#[hatchery::test]
async fn p_f6_a_process_without_room_says_so_and_goes_on() -> Result<()> {
    let name = name("room");
    with_worker(async |worker| {
        let some = |count| -> Vec<_> { (0..count).map(|_| memfd(&name, "")).collect() };
        let (mut cx, first) = worker.open_context(echo(memfd(&name, ""))).await?;
        drop(first);
        worker.run(has_room_for(Some(3))).await?;
        assert_eq!(worker.run(reads_all(some(3))).await?.len(), 3);
        for count in [4, 16] {
            let refused = worker.run(reads_all(some(count))).await.unwrap_err();
            assert!(refused.to_string().contains("(EMFILE)"), "{refused}");
            until("none is left there", || there(worker.id().pid, &name) == 0).await;
        }
        worker.run(has_room_for(Some(0))).await?;
        let mut stream = cx.open_stream()?;
        stream.send(None).await?;
        assert!(stream.recv().await?.expect("an echo").is_none(), "others are read on");
        stream.send(Some(memfd(&name, ""))).await?;
        let ended = stream.recv().await.unwrap_err();
        assert!(ended.to_string().contains("(EMFILE)"), "{ended}");
        drop((cx, stream));
        worker.run(has_room_for(None)).await?;
        assert_eq!(worker.run(reads_all(some(16))).await?.len(), 16);
        none_left(worker, &name).await;
        Ok(())
    })
    .await
}

/// Asks its parent.
#[hatchery::endpoint]
async fn asks_above(name: String) -> Result<String> {
    ParentPortal::new()?.run(reads(memfd(&name, "from below"))).await
}

#[hatchery::test(options = Options::new().expose::<reads>())]
async fn p_f6_they_go_up_and_within_an_actor_too() -> Result<()> {
    let name = name("within");
    with_worker(async |worker| {
        assert_eq!(worker.run(asks_above(name.clone())).await?, "from below");
        none_left(worker, &name).await;
        Ok(())
    })
    .await?;
    let own = LocalPortal::new()?;
    assert_eq!(own.run(reads(memfd(&name, "own"))).await?, "own");
    assert_eq!(own.run(gives(name.clone(), 2)).await?.len(), 2);
    let (mut cx, first) = own.open_context(echo(memfd(&name, "first"))).await?;
    assert_eq!(text_of(first), "first");
    let mut echoed = cx.open_stream()?;
    for number in 0..50 {
        let value = (number % 2 == 1).then(|| memfd(&name, &number.to_string()));
        echoed.send(value).await?;
        let back = echoed.recv().await?.expect("an echo").map(text_of);
        assert_eq!(back, (number % 2 == 1).then(|| number.to_string()));
    }
    echoed.close().await?;
    assert_eq!(text_of(cx.result().await?.expect("the last")), "49");
    drop((cx, echoed));
    until("all are closed", || here(&name) == 0).await;
    Ok(())
}

#[hatchery::test]
async fn p_f6_each_subscriber_has_its_own() -> Result<()> {
    let name = name("each");
    with_worker(async |worker| {
        let (mut cx, first) = worker.open_context(echo(memfd(&name, ""))).await?;
        drop(first);
        let (sender, mut one) = cx.open_stream()?.subscribe();
        let mut other = one.subscribe();
        sender.send(Some(memfd(&name, "for all"))).await?;
        let first = one.recv().await?.flatten().expect("a file");
        let second = other.recv().await?.flatten().expect("a file");
        assert_eq!((text_of(first), text_of(second)), ("for all".into(), "for all".into()));
        drop((cx, sender, one, other));
        none_left(worker, &name).await;
        Ok(())
    })
    .await
}

#[hatchery::test]
async fn p_f6_what_cannot_carry_them_says_why() -> Result<()> {
    let name = name("not");
    let misuse = |error: Error, why: &str| {
        assert_eq!(*error.kind(), ErrorKind::Misuse, "{error}");
        assert!(error.to_string().contains(why), "{error}");
    };
    let publisher = Publisher::new();
    let subscribed = open_nursery(async |nursery: Nursery| {
        let above = nursery.run_in_actor("above", reads(memfd(&name, ""))).await.unwrap_err();
        misuse(above, "the main task of an actor cannot carry descriptors (P-F6)");
        let main = nursery.run_in_actor("main", gives(name.clone(), 1)).await?;
        let returned = main.result::<gives>().await.unwrap_err();
        assert!(returned.to_string().contains("cannot return descriptors (P-F6)"), "{returned}");
        Ok::<_, Error>(())
    })
    .await;
    assert!(subscribed.is_err(), "an actor that failed is an error of its nursery");
    let _: usize = publisher.publish(&1_u64, &memfd(&name, ""))?;
    let through_pipes = hatchery::CommandLine::new("sh").args(["-c", "cat | \"$0\" \"$@\" | cat"]);
    open_nursery(async |nursery: Nursery| {
        let far = nursery.actor("far").launcher(through_pipes).start().await?;
        let refused = far.run(reads(memfd(&name, ""))).await.unwrap_err();
        misuse(refused, "over Unix sockets alone (P-F6)");
        let returned = far.run(gives(name.clone(), 1)).await.unwrap_err();
        misuse(returned, "over Unix sockets alone (P-F6)");
        let opened = far.open_context(echo(memfd(&name, ""))).await.unwrap_err();
        misuse(opened, "over Unix sockets alone (P-F6)");
        assert!(far.run(alive()).await?, "the link goes on");
        none_left(&far, &name).await;
        far.cancel().await
    })
    .await
}

fn at(address: &str) -> Options {
    Options::new().registry(address.parse().expect("an address"))
}

/// Reaches a sibling at an address, and not through anybody else.
#[hatchery::endpoint]
async fn passes_to(address: Address, name: String) -> Result<String> {
    let sibling = connect(&address).await?;
    let read = sibling.run(reads(memfd(&name, "to a sibling"))).await;
    assert!(sibling.run(alive()).await?, "the link goes on");
    sibling.close().await;
    read
}

async fn siblings_pass(scheme: &str, name: &str) -> Result<String> {
    open_nursery(async |nursery: Nursery| {
        let serves = nursery.actor("serves").expose::<reads>().expose::<alive>().start().await?;
        let passes = nursery.start_actor("passes").await?;
        let [known] = query_actor("serves").await?.try_into().expect("one");
        let of_scheme = |address: &Address| address.to_string().starts_with(scheme);
        let address = known.addresses.into_iter().find(of_scheme).expect("an address of it");
        let passed = passes.run(passes_to(address, name.to_owned())).await;
        none_left(&serves, name).await;
        none_left(&passes, name).await;
        serves.cancel().await?;
        passes.cancel().await?;
        passed
    })
    .await
}

#[hatchery::test(options = with_registrar("descriptors-siblings"))]
async fn p_f6_siblings_pass_them_over_a_unix_socket() -> Result<()> {
    assert_eq!(siblings_pass("unix:", &name("unix")).await?, "to a sibling");
    Ok(())
}

#[hatchery::test(options = at("tcp:127.0.0.1:0"))]
async fn p_f6_none_go_over_tcp() -> Result<()> {
    let refused = siblings_pass("tcp:", &name("tcp")).await.unwrap_err();
    assert!(refused.to_string().contains("over Unix sockets alone (P-F6)"), "{refused}");
    Ok(())
}

#[hatchery::test(options = at("quic:127.0.0.1:0"))]
async fn p_f6_none_go_over_quic() -> Result<()> {
    let refused = siblings_pass("quic:", &name("quic")).await.unwrap_err();
    assert!(refused.to_string().contains("over Unix sockets alone (P-F6)"), "{refused}");
    Ok(())
}

/// Begins to read once it may.
#[hatchery::context]
async fn reads_late(
    cx: Context<Starts<()>, Sends<()>, Receives<Files>>,
    when: String,
) -> Result<Vec<String>> {
    let mut stream = cx.started(()).await?.open_stream();
    raised(&when).await;
    let mut texts = Vec::new();
    while let Some(value) = stream.recv().await? {
        texts.extend(value.map(text_of));
    }
    Ok(texts)
}

/// Many streams at once, none of which is read, then all.
#[hatchery::test]
async fn p_f6_streams_do_not_mix_theirs() -> Result<()> {
    let name = name("mixed");
    with_worker(async |worker| {
        let when = Sign::new("descriptors");
        let mut open = Vec::new();
        for _ in 0..8 {
            let (mut cx, ()) = worker.open_context(reads_late(when.path())).await?;
            let stream = cx.open_stream()?;
            open.push((cx, stream));
        }
        for number in 0..10 {
            for (place, (_, stream)) in open.iter().enumerate() {
                stream.send(Some(memfd(&name, &format!("{place}.{number}")))).await?;
                stream.send(None).await?;
            }
        }
        when.raise();
        for (place, (cx, stream)) in open.iter().enumerate() {
            stream.close().await?;
            let expected: Vec<_> = (0..10).map(|number| format!("{place}.{number}")).collect();
            assert_eq!(cx.result().await?, expected);
        }
        drop(open);
        none_left(worker, &name).await;
        Ok(())
    })
    .await
}
