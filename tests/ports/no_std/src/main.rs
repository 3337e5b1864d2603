//! A child actor without a standard library: one loop over `poll`, and an allocator from a crate.
//! With `std` anywhere below it there would be two panic handlers, and it would not link.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::{collections::BTreeMap, vec::Vec};
use core::mem;

use hatchery_proto::{
    ActorId, Callee, Config, Connection, DialogId, Event, GoodbyeReason, Incoming, Instant, Kind,
    Limits, LinkKind, Recv, Refusal, Role, SendError, Terminal,
};
use linked_list_allocator::LockedHeap;
use postcard::{from_bytes, to_allocvec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use rustix::net::{SendFlags, send};

#[global_allocator]
static HEAP: LockedHeap = LockedHeap::empty();
static mut ROOM: [u8; 8 << 20] = [0; 8 << 20];

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: it may be called at any time.
    unsafe { libc::abort() }
}

// The compiled `alloc` names these for unwinding, which nothing here does.
core::arch::global_asm!(
    ".globl rust_eh_personality; rust_eh_personality: .globl _Unwind_Resume; _Unwind_Resume: ud2"
);

/// An echo under way: what it could not send yet, and how many values came.
type Echo = (Option<Vec<u8>>, u64);

/// The actor and its tasks: what they do about what has happened.
fn handle(link: &mut Connection, echoes: &mut BTreeMap<DialogId, Echo>, event: Event) {
    match event {
        Event::Incoming(id) => {
            let Some(mut callee) = link.callee(id) else { return };
            let Some(Incoming { endpoint, kind, args, .. }) = callee.take_start() else { return };
            let (one, two) = (from_bytes::<u64>(&args), from_bytes::<(u64, u64)>(&args));
            match (&*endpoint, kind, one, two) {
                (_, Kind::Actor, ..) => callee.started(&[]).unwrap_or_default(),
                ("ports::add", Kind::Call, _, Ok((a, b))) => {
                    callee.finish(returned(a.wrapping_add(b)))
                }
                ("ports::echo", Kind::Context, Ok(first), _) => {
                    callee.started(&to_allocvec(&(first + 1)).unwrap()).unwrap_or_default();
                    echoes.insert(id, Echo::default());
                }
                _ => callee.refuse(Refusal::Unknown, "not known here".into()),
            }
        }
        Event::CancelAsked(DialogId::ACTOR) => {
            let asked = link.callee(DialogId::ACTOR).and_then(|it| it.cancel_request().cloned());
            // Its tasks end before it does (P-C7).
            for id in mem::take(echoes).into_keys().chain([DialogId::ACTOR]) {
                if let (Some(callee), Some(asked)) = (link.callee(id), asked.clone()) {
                    callee.finish(Terminal::Cancelled(asked.by));
                }
            }
            link.goodbye(Instant::default(), GoodbyeReason::Leaving);
        }
        Event::Readable(id) | Event::Writable(id) | Event::CancelAsked(id) => {
            let (Some(echo), Some(mut callee)) = (echoes.get_mut(&id), link.callee(id)) else {
                return;
            };
            if let Some(terminal) = turn(&mut callee, echo) {
                callee.finish(terminal);
                echoes.remove(&id);
            }
        }
        _ => {}
    }
}

/// Goes on with an echo as far as it can.
fn turn(callee: &mut Callee<'_>, (held, count): &mut Echo) -> Option<Terminal> {
    if let Some(request) = callee.cancel_request() {
        return Some(Terminal::Cancelled(request.by.clone()));
    }
    loop {
        if let Some(value) = held.take()
            && callee.send(&value) == Err(SendError::Full)
        {
            *held = Some(value);
            return None;
        }
        let mut value = Vec::new();
        match callee.recv(&mut value) {
            Recv::Value => (*held, *count) = (Some(value), *count + 1),
            Recv::Empty => return None,
            _ => return Some(returned(*count)),
        }
    }
}

fn returned(value: u64) -> Terminal {
    Terminal::Return(to_allocvec(&value).unwrap())
}

fn now() -> Instant {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Instant::from_micros(now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1_000)
}

#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    // SAFETY: this runs once, and nobody else names the room.
    unsafe { HEAP.lock().init((&raw mut ROOM).cast(), 8 << 20) };
    let socket = unsafe { rustix::stdio::stdin() }; // SAFETY: it stays open.
    // It brings the real standard streams along; read like this, the kernel closes them.
    read(socket, &mut [0]).unwrap();
    let mut uuid = [0; 16];
    rustix::rand::getrandom(&mut uuid, rustix::rand::GetRandomFlags::empty()).unwrap();
    let me = ActorId { name: "no_std".into(), uuid: u128::from_le_bytes(uuid), pid: 0 };
    let config = Config { kind: LinkKind::Child, role: Role::Odd, me, limits: Limits::default() };
    let (mut link, mut echoes) = (Connection::new(config, now()), BTreeMap::new());
    let (mut input, mut output) = ([0; 16 * 1024], Vec::new());
    loop {
        while let Some(event) = link.poll_event() {
            handle(&mut link, &mut echoes, event);
        }
        let idle = output.is_empty() && link.poll_transmit(now(), &mut output, 16 * 1024) == 0;
        if idle && link.is_closed() {
            return 0;
        }
        let left = link.poll_timeout().map(|(at, _)| Timespec::try_from(at.since(now())).unwrap());
        let wanted = if idle { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT };
        let _ = poll(&mut [PollFd::new(&socket, wanted)], left.as_ref());
        match read(socket, &mut input) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(count @ 1..) => link.handle_input(now(), &input[..count]),
            _ => link.handle_eof(now()),
        }
        match send(socket, &output, SendFlags::NOSIGNAL) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            Ok(count) => drop(output.drain(..count)),
            Err(_) => {
                output.clear();
                link.handle_write_closed();
            }
        }
        link.handle_timeout(now());
    }
}
