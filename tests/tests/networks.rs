//! Actors that are linked over a network: the same answers, and nobody comes in who is not of the tree.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use hatchery::{
    Address, Context, Credentials, Error, ErrorKind, Nursery, Options, Portal, Receives, Result,
    Sends, Starts, connect, find_actor, get_registry, open_nursery, query_actor,
};
use hatchery_tests::build::Kind;

fn at(scheme: &str) -> Options {
    Options::new().registry(format!("{scheme}:127.0.0.1:0").parse().unwrap())
}

#[hatchery::endpoint]
async fn doubled(n: u64) -> u64 {
    2 * n
}

#[hatchery::context]
async fn echo(cx: Context<Starts<()>, Sends<Vec<u8>>, Receives<Vec<u8>>>) -> Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    let mut count = 0;
    while let Some(value) = stream.recv().await? {
        count += value.len() as u64;
        stream.send(value).await?;
    }
    Ok(count)
}

/// Reaches a sibling over the network alone.
#[hatchery::endpoint]
async fn asks_over(address: Address) -> Result<u64> {
    let sibling = connect(&address).await?;
    let answer = talk(&sibling).await?;
    sibling.close().await;
    Ok(answer)
}

async fn talk(sibling: &Portal) -> Result<u64> {
    assert_eq!(sibling.run(doubled(21)).await?, 42);
    let (mut cx, ()) = sibling.open_context(echo()).await?;
    let mut stream = cx.open_stream()?;
    for size in [0, 1, 100, 70_000, 1_000_000] {
        stream.send(vec![7; size]).await?;
        assert_eq!(stream.recv().await?.map(|value| value.len()), Some(size));
    }
    stream.close().await?;
    cx.result().await
}

/// The address of an actor that begins so.
async fn address_of(name: &str, scheme: &str) -> Result<Address> {
    let [known] = query_actor(name).await?.try_into().map_err(|_| Error::message("one"))?;
    let mut addresses = known.addresses.into_iter();
    let found = addresses.find(|address| address.to_string().starts_with(scheme));
    found.ok_or_else(|| Error::message(format!("{name} is at no {scheme} address")))
}

async fn siblings_talk(scheme: &str) -> Result<()> {
    let registry = get_registry()?.remove(0);
    assert!(registry.address().to_string().starts_with(scheme), "{registry:?}");
    open_nursery(async |nursery: Nursery| {
        let serves = nursery.actor("serves").expose::<doubled>().expose::<echo>().start().await?;
        let asks = nursery.start_actor("asks").await?;
        let address = address_of("serves", scheme).await?;
        assert_eq!(asks.run(asks_over(address)).await?, 1_070_101);
        serves.cancel().await?;
        asks.cancel().await
    })
    .await
}

#[hatchery::test(options = at("tcp"))]
async fn ipc_01_siblings_talk_over_tcp() -> Result<()> {
    siblings_talk("tcp").await
}

#[hatchery::test(options = at("quic"))]
async fn ipc_01_siblings_talk_over_quic() -> Result<()> {
    siblings_talk("quic").await
}

/// Whoever connects and is of no tree, or of another, is not let in, and hears nothing of it.
#[hatchery::test(options = at("tcp"))]
async fn a_stranger_is_not_let_in_over_tcp() -> Result<()> {
    let registry = get_registry()?.remove(0);
    let Address::Tcp { host, port } = registry.address().clone() else { panic!("{registry:?}") };
    let said: [&[u8]; 3] = [b"GET / HTTP/1.1\r\n\r\n", b"\x31\0\0\0\x01\0HTCH", &[0; 64]];
    let heard = std::thread::spawn(move || {
        said.map(|said| {
            let mut stranger = TcpStream::connect((host.as_str(), port)).unwrap();
            stranger.set_read_timeout(Some(Duration::from_secs(50))).unwrap();
            stranger.write_all(said).unwrap();
            let mut heard = Vec::new();
            let _ = stranger.read_to_end(&mut heard);
            heard
        })
    });
    while !heard.is_finished() {
        futures_lite::future::yield_now().await;
    }
    for heard in heard.join().unwrap() {
        // An alert of TLS, of seven bytes, or nothing: never a greeting.
        assert!(heard.len() <= 7, "{heard:?}");
    }
    open_nursery(async |nursery: Nursery| {
        let serves = nursery.actor("serves").expose::<doubled>().start().await?;
        assert_eq!(find_actor("serves").await?.unwrap().run(doubled(4)).await?, 8);
        serves.cancel().await
    })
    .await
}

/// A program with credentials of the tree comes in; one with keys of its own does not.
#[hatchery::test(options = at("tcp"))]
async fn a_program_comes_in_with_credentials_alone() -> Result<()> {
    let registry = get_registry()?.remove(0);
    let folder = std::env::temp_dir().join(format!("credentials-{}", std::process::id()));
    let credentials = Credentials::issue("guest")?;
    assert!(!format!("{credentials:?}").contains("PRIVATE"), "{credentials:?}");
    credentials.write_new(&folder)?;
    assert!(credentials.write_new(&folder).is_err(), "never over what is there");
    let read = Credentials::read(&folder);
    std::fs::remove_file(&folder).unwrap();
    drop(read?);
    open_nursery(async |nursery: Nursery| {
        let serves = nursery.actor("serves").expose::<doubled>().start().await?;
        let address = registry.address().to_string();
        let text = credentials_as_text(&credentials)?;
        let guest = async |text: &str| {
            let program = hatchery_tests::build::built(Kind::Bin, "guest_over_tcp");
            let mut guest = async_process::Command::new(program);
            let guest = guest.arg(&address).stdin(async_process::Stdio::piped());
            let guest = guest.stdout(async_process::Stdio::piped());
            let mut guest = guest.stderr(async_process::Stdio::piped()).spawn().unwrap();
            let mut stdin = guest.stdin.take().unwrap();
            futures_lite::AsyncWriteExt::write_all(&mut stdin, text.as_bytes()).await.unwrap();
            drop(stdin);
            let done = guest.output().await.unwrap();
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            (done.status.success(), text(&done.stdout), text(&done.stderr))
        };
        let (came, told, why) = guest(&text).await;
        assert!(came && told == "8\n", "{told} {why}");
        let (came, told, why) = guest("").await;
        assert!(!came && told.is_empty(), "{told}");
        assert!(why.contains("of another tree") || why.contains("not of this tree"), "{why}");
        serves.cancel().await
    })
    .await
}

fn credentials_as_text(credentials: &Credentials) -> Result<String> {
    let path = std::env::temp_dir().join(format!("text-{}", std::process::id()));
    credentials.write_new(&path)?;
    let text = std::fs::read_to_string(&path).map_err(Error::new);
    std::fs::remove_file(&path).map_err(Error::new)?;
    text
}

/// What may not be done is said where it is asked for.
#[hatchery::test]
async fn an_address_that_nobody_can_listen_at_fails_the_start() -> Result<()> {
    let ended = open_nursery(async |nursery: Nursery| {
        let place: Address = "tcp:192.0.2.1:1".parse().unwrap();
        nursery.actor("nowhere").listen(place).start().await
    });
    let error = ended.await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused(..)), "{error:?}");
    assert!(error.to_string().contains("listening on tcp:192.0.2.1:1"), "{error}");
    Ok(())
}
