//! How many bytes a handshake is, and that no secret of a session is used twice.

use super::wire::records;
use super::*;

#[test]
fn a_handshake_stays_far_below_its_bound() {
    let authority = Authority::new().unwrap();
    let name = "n".repeat(255);
    let [one, two] = [1, 2].map(|uuid| authority.issue(&actor(uuid, &name)).unwrap());
    let (ours, theirs) = pipe();
    let lanes = [ours.outgoing.clone(), ours.incoming.clone()];
    let both = block_on(zip(one.dial(ours, Some(2), "there"), two.accept(theirs, "here")));
    both.0.unwrap();
    both.1.unwrap();
    for lane in lanes {
        let recorded = lane.lock().unwrap().recorded.clone();
        assert!(recorded.len() < guarded::MOST / 4, "{}", recorded.len());
        // Everything but the hellos is encrypted: nobody sees who it is.
        let digits = format!("{:032x}", 1);
        assert!(!recorded.windows(32).any(|part| part == digits.as_bytes()));
        assert!(!recorded.windows(9).any(|part| part == b"nnnnnnnnn"));
        assert!(records(&recorded).len() > 3);
    }
}

#[test]
fn no_two_sessions_are_alike_and_none_is_taken_up_again() {
    let authority = Authority::new().unwrap();
    let (one, two) = (keys(&authority, 1), keys(&authority, 2));
    let hellos: Vec<_> = (0..3)
        .map(|_| {
            let (ours, theirs) = pipe();
            let lane = ours.outgoing.clone();
            let both = block_on(zip(one.dial(ours, None, "there"), two.accept(theirs, "here")));
            both.0.unwrap();
            both.1.unwrap();
            let recorded = lane.lock().unwrap().recorded.clone();
            recorded[..records(&recorded)[1]].to_vec()
        })
        .collect();
    // A session that is taken up again says so in a longer hello.
    assert!(hellos.windows(2).all(|two| two[0].len() == two[1].len() && two[0] != two[1]));
}
