//! A tree over two hosts, of which each is a network namespace, over ssh: the link between them is taken
//! down while it streams (F-29, P-L5). Needs root's rights and `sshd`.
#![allow(clippy::print_stdout, reason = "what was not tested is said")]

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use hatchery_tests::programs::Signal;
use hatchery_tests::ssh::{Daemon, Place, assert_gone, ready};

/// Two namespaces and a wire between them, until it is dropped.
struct Hosts([String; 2]);

fn ip(line: &str) -> bool {
    Command::new("ip").args(line.split(' ')).status().is_ok_and(|status| status.success())
}

impl Hosts {
    /// Nothing where this process may not make any.
    fn new() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (number, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let hosts = Self(["a", "b"].map(|which| format!("hatchery-{number}-{count}-{which}")));
        let [far, near] = &hosts.0;
        if !(ip(&format!("netns add {far}")) && ip(&format!("netns add {near}"))) {
            assert!(std::env::var_os("CI").is_none(), "no network namespace can be made");
            println!("no network namespace can be made: nothing was tested");
            return None;
        }
        let wire = format!("-n {far} link add wire type veth peer name wire netns {near}");
        assert!(ip(&wire), "a wire");
        for (host, address) in [(far, "10.99.0.1/24"), (near, "10.99.0.2/24")] {
            assert!(ip(&format!("-n {host} addr add {address} dev wire")), "an address");
            assert!(ip(&format!("-n {host} link set wire up")), "its end");
        }
        Some(hosts)
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in &self.0 {
            ip(&format!("netns delete {host}"));
        }
    }
}

#[test]
fn f_29_a_link_that_is_taken_down_in_mid_stream_is_found_out_on_both_hosts_in_their_patience() {
    const PATIENCE: &str = "1000";
    let Some(hosts) = Hosts::new() else { return };
    let place = Place { address: Some("10.99.0.1".to_owned()), namespaces: Some(hosts.0.clone()) };
    let Some(daemon) = Daemon::start(place) else { return };
    let mut root = daemon.launched("flows").env("PATIENCE", PATIENCE).start();
    let actors = ready(&mut root);
    assert!(ip(&format!("-n {} link set wire down", hosts.0[0])));
    let began = Instant::now();
    assert_gone(&actors);
    let far = began.elapsed();
    let finished = root.wait();
    assert!(!finished.timed_out, "{finished}");
    finished.assert_exit(1).assert_nothing_left();
    assert!(finished.out().contains("lost: "), "{finished}");
    // A period and a patience, a second for its end, and what a busy machine takes.
    assert!(far.as_secs() < 8, "{far:?}");
    daemon.assert_idle();
}

#[test]
fn a_tree_over_two_hosts_serves_and_ends_in_its_order() {
    let Some(hosts) = Hosts::new() else { return };
    let place = Place { address: Some("10.99.0.1".to_owned()), namespaces: Some(hosts.0.clone()) };
    let Some(daemon) = Daemon::start(place) else { return };
    let finished = daemon.launched("serves").run();
    finished.assert_exit(0).assert_nothing_left();
    assert_eq!(finished.out(), "ok\n", "{finished}");
    let mut root = daemon.launched("holds").start();
    let actors = ready(&mut root);
    root.signal(Signal::TERM);
    root.wait().assert_exit(1).assert_nothing_left();
    assert_gone(&actors);
    daemon.assert_idle();
}
