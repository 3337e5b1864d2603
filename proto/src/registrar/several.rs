//! What the answers of several registrars come to: whoever more than one knows is met once. Whom to
//! ask, and in which order, is not decided here.

use alloc::vec::Vec;

use super::Registered;

/// Adds what a further registrar has answered to what those before it have: an actor that they know
/// keeps its place, and has behind their addresses those that only this one knows; others come
/// behind them, in the order of the answer (P-R3).
pub fn merge(known: &mut Vec<Registered>, answer: Vec<Registered>) {
    for one in answer {
        let Some(same) = known.iter_mut().find(|known| known.id == one.id) else {
            known.push(one);
            continue;
        };
        for address in one.addresses {
            if !same.addresses.contains(&address) {
                same.addresses.push(address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;
    use crate::address::Address;
    use crate::id::ActorId;

    fn one(uuid: u128, paths: &[&str]) -> Registered {
        let id = ActorId { name: "one".into(), uuid, pid: 1 };
        Registered { id, addresses: paths.iter().map(|path| Address::unix(*path)).collect() }
    }

    #[test]
    fn p_r3_who_several_registrars_know_is_met_once_at_all_addresses() {
        let mut known = Vec::new();
        merge(&mut known, vec![one(2, &["/a", "/b"]), one(1, &["/c"])]);
        merge(
            &mut known,
            vec![one(3, &["/f"]), one(1, &["/d", "/c", "/d"]), one(2, &["/b", "/a"])],
        );
        merge(&mut known, vec![]);
        let all = [one(2, &["/a", "/b"]), one(1, &["/c", "/d"]), one(3, &["/f"])];
        assert_eq!(known, all);
    }
}
