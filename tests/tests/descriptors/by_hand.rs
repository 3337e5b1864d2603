//! Peers that a test plays by hand, on a socket: programs without the feature, and hostile ones.

use std::io::{IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::net::{UnixListener, UnixStream};

use hatchery::{Address, Descriptor, ErrorKind, Options, Result, connect, get_registry};
use hatchery_proto::wire::{DESCRIPTORS, Tag, body, put_frame};
use hatchery_proto::{
    ActorId, Config, Connection, DialogId, Event, Instant, Kind, Limits, LinkKind, Role,
};
use hatchery_tests::sign::until;
use hatchery_tests::spot::Spot;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::{here, memfd, name};

const NOW: Instant = Instant::from_micros(1);

/// One end of a link.
struct Peer {
    socket: UnixStream,
    core: Connection,
}

impl Peer {
    fn over(socket: UnixStream, role: Role, passes: bool) -> Self {
        let me = ActorId { name: "by hand".into(), uuid: 77, pid: std::process::id() };
        let config = Config { kind: LinkKind::Peer, role, me, limits: Limits::default() };
        let core = Connection::new(config, NOW);
        Self { socket, core: if passes { core.passing() } else { core } }
    }

    fn says(&mut self) {
        let mut bytes = Vec::new();
        let _ = self.core.poll_transmit(NOW, &mut bytes, usize::MAX);
        let _ = self.socket.write_all(&bytes);
    }

    /// Hears what comes until something has happened; `false` at the end.
    fn hears_until(&mut self, happened: impl Fn(&Event) -> bool) -> bool {
        let mut buffer = [0; 4096];
        loop {
            self.says();
            while let Some(event) = self.core.poll_event() {
                if happened(&event) {
                    return true;
                }
            }
            match self.socket.read(&mut buffer) {
                Ok(0) | Err(_) => return false,
                Ok(count) => self.core.handle_input(NOW, &buffer[..count]),
            }
        }
    }

    fn greet(&mut self) {
        assert!(self.hears_until(|event| *event == Event::Up), "the greeting");
    }

    /// Writes bytes with these descriptors.
    fn sends(&self, bytes: &[u8], files: &[Descriptor]) {
        let descriptors: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(files.is_empty() || control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        let bytes = [IoSlice::new(bytes)];
        let _ = rustix::net::sendmsg(&self.socket, &bytes, &mut control, SendFlags::NOSIGNAL);
    }
}

/// Asks for something that is not there, with as many descriptors as it says.
fn start(number: u64, named: u8) -> Vec<u8> {
    let start = body::Start {
        endpoint: "nobody's",
        kind: Kind::Call,
        schema: 0,
        codec: 0,
        credit: 4096,
        deadline: None,
        trace: None,
    };
    let flags = if named > 0 { DESCRIPTORS } else { 0 };
    let mut out = Vec::new();
    put_frame(&mut out, Tag::Start, DialogId::new(number), flags, |out| {
        out.extend((named > 0).then_some(named));
        out.extend(postcard::to_allocvec(&start).unwrap());
    });
    out
}

pub(crate) fn with_registrar(name: &str) -> Options {
    let name = format!("{name}-{}", std::process::id());
    Options::new().registry(hatchery::local_address(&name).unwrap())
}

/// Writes, each with how many descriptors.
type Writes = Vec<(Vec<u8>, usize)>;

fn dials() -> Result<UnixStream> {
    let Address::Unix { path, .. } = get_registry()?.remove(0).address().clone() else {
        return Err(hatchery::Error::message("no file"));
    };
    Ok(UnixStream::connect(path).unwrap())
}

/// A program that was built without them.
#[hatchery::test]
async fn p_f6_a_peer_without_the_feature_is_sent_none() -> Result<()> {
    let (spot, name) = (Spot::new("descriptors"), name("without"));
    let path = spot.path().join("peer");
    let listener = UnixListener::bind(&path).unwrap();
    let plays = smol::unblock(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut peer = Peer::over(socket, Role::Odd, false);
        peer.greet();
        // It hears of a call without descriptors alone, and ends the link.
        let mut asked = None;
        assert!(peer.hears_until(|event| matches!(event, Event::Incoming(_))));
        while let Some(event) = peer.core.poll_event() {
            assert!(!matches!(event, Event::Incoming(_)), "{event:?}");
        }
        for look in peer.core.dialogs() {
            asked = Some(look.id);
        }
        let callee = peer.core.callee(asked.unwrap()).unwrap();
        callee.refuse(hatchery::Refusal::Unknown, "by hand".into());
        peer.says();
        peer.hears_until(|event| *event == Event::Closed);
    });
    let talks = async {
        let address: Address = format!("unix:{}", path.display()).parse().unwrap();
        let peer = connect(&address).await?;
        let file = (memfd(&name, ""),);
        let refused = peer.call_named::<()>("anything", file).await.unwrap_err();
        assert_eq!(*refused.kind(), ErrorKind::Misuse, "{refused}");
        assert!(refused.to_string().contains("takes no descriptors"), "{refused}");
        let refused = peer.call_named::<()>("anything", ()).await.unwrap_err();
        assert!(matches!(refused.kind(), ErrorKind::Refused(_)), "{refused}");
        peer.close().await;
        Ok::<_, hatchery::Error>(())
    };
    let ((), talked) = futures_lite::future::zip(plays, talks).await;
    std::fs::remove_file(&path).unwrap();
    until("all are closed", || here(&name) == 0).await;
    talked
}

/// What a peer sends behind the greeting, with how many descriptors each, and whether its link ends.
#[hatchery::test(options = with_registrar("descriptors-hostile"))]
async fn p_f6_a_hostile_peer_leaves_none_behind() -> Result<()> {
    let name = name("hostile");
    let some = |count: usize| -> Vec<_> { (0..count).map(|_| memfd(&name, "")).collect() };
    let honest: Vec<u8> = start(2, 2);
    let cases: Vec<(&str, Writes, bool)> = vec![
        ("as it says", vec![(honest.clone(), 2)], false),
        (
            "a byte at a time",
            honest
                .iter()
                .zip([2].into_iter().chain(std::iter::repeat(0)))
                .map(|(byte, count)| (vec![*byte], count))
                .collect(),
            false,
        ),
        ("two named, one sent", vec![(start(2, 2), 1)], true),
        ("two named, three sent", vec![(start(2, 2), 3)], true),
        ("named and not sent", vec![(start(2, 2), 0)], true),
        ("sent and not named", vec![(start(2, 0), 1)], true),
        ("seventeen", vec![(start(2, 17), 17)], true),
        ("as many as the system takes", vec![(start(2, 16), 253)], true),
        (
            "some with each byte of a frame",
            honest.iter().map(|byte| (vec![*byte], 16)).collect(),
            true,
        ),
        ("with a frame that never ends", vec![(honest[..5].to_vec(), 2)], false),
    ];
    for (what, writes, ends) in cases {
        let socket = dials()?;
        let files: Vec<_> =
            writes.iter().map(|(bytes, count)| (bytes.clone(), some(*count))).collect();
        let held: usize = files.iter().map(|(_, files)| files.len()).sum();
        let peer = smol::unblock(move || {
            let mut peer = Peer::over(socket, Role::Even, true);
            peer.greet();
            for (bytes, files) in &files {
                peer.sends(bytes, files);
            }
            drop(files);
            if ends {
                // It is told, and the link is over.
                while peer.hears_until(|event| *event == Event::Closed) {}
            }
            peer
        })
        .await;
        if !ends && what != "with a frame that never ends" {
            let name = name.clone();
            until(&format!("{what}: all {held} are closed"), || here(&name) == 0).await;
        }
        drop(peer);
        until(&format!("{what}: all {held} are closed"), || here(&name) == 0).await;
    }
    Ok(())
}

/// Each is refused as soon as it is heard, and its descriptors go with it.
#[hatchery::test(options = with_registrar("descriptors-flood"))]
async fn p_f6_a_flood_of_refused_calls_leaves_none_behind() -> Result<()> {
    let (name, socket) = (name("flood"), dials()?);
    let files: Vec<_> = (0..16).map(|_| memfd(&name, "")).collect();
    let peer = smol::unblock(move || {
        let mut peer = Peer::over(socket, Role::Even, true);
        peer.greet();
        for number in 1..=500 {
            peer.sends(&start(2 * number, 16), &files);
        }
        drop(files);
        peer
    })
    .await;
    until("all are closed", || here(&name) == 0).await;
    drop(peer);
    Ok(())
}
