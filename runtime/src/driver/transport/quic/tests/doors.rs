//! Doors that are knocked at over QUIC: for no longer than was said, and what is told of those that stay shut.

use std::time::Instant;

use async_executor::Executor;
use hatchery_proto::{ActorId, Address};

use super::*;
use crate::driver::transport::door::{NoWay, knock};
use crate::driver::transport::proofs::Proofs;
use crate::driver::transport::trouble::Trouble;

fn knocked(host: &str, port: u16, within: Duration) -> NoWay {
    let proofs = Proofs::fresh().unwrap();
    proofs.of(&ActorId { name: "one".into(), uuid: 1, pid: 0 });
    let address = Address::Quic { host: host.to_owned(), port };
    let executor = Executor::new();
    let knocks = async { knock(&address, Some(2), &proofs, &executor, within).await.map(drop) };
    block_on(executor.run(knocks)).unwrap_err()
}

#[test]
fn f_29_whoever_never_answers_is_waited_for_as_long_as_was_said() {
    let nobody = UdpSocket::bind(ANY).unwrap();
    let port = nobody.local_addr().unwrap().port();
    let began = Instant::now();
    let why = knocked("127.0.0.1", port, Duration::from_millis(100));
    assert!(began.elapsed() < HANDSHAKE, "that is what any handshake may take");
    assert!(why.to_string().contains("it did not answer in time"), "{why}");
}

#[test]
fn a_host_without_an_address_is_said_so() {
    let why = knocked("nowhere.invalid", 1, HANDSHAKE);
    let NoWay::Transport(error) = &why else { panic!("{why}") };
    assert!(matches!(error.trouble(), Trouble::NoHost(_)), "{error}");
}
