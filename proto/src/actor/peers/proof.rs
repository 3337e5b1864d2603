//! Who a peer says it is, and whether it has proven that (P-R8). Decides only; keeps nothing.

use alloc::string::ToString;
use core::fmt;

use crate::connection::GoodbyeReason;
use crate::id::ActorId;

/// How a link came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// To the parent, over what this process was started with.
    Parent,
    /// To a child, over what it was started with.
    Child,
    /// The peer has connected to this actor.
    Accepted,
    /// This actor has connected to the peer, for a portal.
    Dialed,
}

impl Origin {
    /// Whether it was inherited.
    #[must_use]
    pub const fn is_family(self) -> bool {
        matches!(self, Self::Parent | Self::Child)
    }
}

/// What a link has proven of the process at its other end. What its `Hello` says is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[must_use]
pub enum Proof {
    /// That it is the parent, or the child that was started, since nobody else was given this
    /// descriptor; and the process id of that one, as it is seen from here, or 0 where a launcher
    /// stands between. It may choose any uuid that no other actor has.
    Inherited(u32),
    /// That it is this process, of a user who may connect, since the kernel says so; 0 where it is
    /// in another pid namespace, and nothing but the user is proven.
    Process(u32),
    /// That it has the key of the certificate made out to this uuid.
    Certificate(u128),
    /// That it is of a user who may connect, and nothing of who it is.
    User,
}

/// What is known of a peer, by its links so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Its process id as seen from here, or 0.
    pub(super) pid: u32,
    pub(super) is_certified: bool,
    /// It is the parent or a child.
    pub(super) is_family: bool,
}

impl Known {
    /// What is known with this proof as well.
    pub(super) fn with(mut self, proof: Proof) -> Self {
        match proof {
            Proof::Inherited(pid) | Proof::Process(pid) if self.pid == 0 => self.pid = pid,
            Proof::Certificate(_) => self.is_certified = true,
            Proof::Inherited(_) | Proof::Process(_) | Proof::User => {}
        }
        self.is_family |= matches!(proof, Proof::Inherited(_));
        self
    }

    /// Whether a further link proves that it is of the same peer. One that proves less than what is
    /// known does not.
    pub(super) fn is_proven_by(self, proof: Proof) -> bool {
        match proof {
            // There is one such link. Whom it is to may have dialed before it was heard here.
            Proof::Inherited(pid) => !self.is_family && pid != 0 && pid == self.pid,
            Proof::Certificate(_) => true,
            Proof::Process(pid) if pid != 0 && self.pid != 0 => pid == self.pid,
            Proof::Process(_) | Proof::User => self == Self::default(),
        }
    }
}

/// Why a link may not come up with what its `Hello` says (P-R8, P-R12). To be answered with a code
/// only, and closed (P-A6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stranger {
    /// It claims to be this actor itself.
    Oneself,
    /// It claims to be an actor that has died.
    Dead,
    /// It claims another process id than the kernel says.
    OtherProcess {
        /// What it claims.
        claimed: u32,
        /// What the kernel says.
        seen: u32,
    },
    /// Its certificate is made out to another actor.
    OtherCertificate,
    /// It claims to be an actor that is known here, and proves less than that one has.
    Unproven,
    /// It comes as parent or child, without having been started as one, or the other way round.
    NotFamily,
    /// It is of a peer that has as many links as one may have.
    TooMany {
        /// The most allowed.
        max: usize,
    },
}

impl Stranger {
    /// What a peer is told that has too many links (P-R12).
    pub const TOO_MANY: &str = "P-R12";

    /// What it is told: a code, and nothing of what is known here.
    #[must_use]
    pub fn told(self) -> GoodbyeReason {
        match self {
            Self::TooMany { .. } => GoodbyeReason::Protocol(Self::TOO_MANY.to_string()),
            _ => GoodbyeReason::NotAllowed,
        }
    }
}

impl fmt::Display for Stranger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Oneself => f.write_str("it claims to be this actor itself")?,
            Self::Dead => f.write_str("it claims to be an actor that has died")?,
            Self::OtherProcess { claimed, seen } => {
                write!(f, "it claims to be process {claimed}, and is process {seen}")?;
            }
            Self::OtherCertificate => f.write_str("its certificate is another actor's")?,
            Self::Unproven => {
                f.write_str("it claims to be an actor that is known here, and does not prove it")?;
            }
            Self::NotFamily => f.write_str("it was not started over this link")?,
            Self::TooMany { max } => {
                return write!(f, "it has {max} links here, the most allowed (P-R12)");
            }
        }
        f.write_str(" (P-R8)")
    }
}

impl core::error::Error for Stranger {}

/// What can be said of a claim without knowing anybody.
pub(super) fn judge(id: &ActorId, origin: Origin, proof: Proof) -> Result<(), Stranger> {
    match proof {
        Proof::Inherited(_) if origin.is_family() => Ok(()),
        Proof::Inherited(_) => Err(Stranger::NotFamily),
        _ if origin.is_family() => Err(Stranger::NotFamily),
        Proof::Process(seen) if seen != 0 && id.pid != 0 && seen != id.pid => {
            Err(Stranger::OtherProcess { claimed: id.pid, seen })
        }
        Proof::Certificate(uuid) if uuid != id.uuid => Err(Stranger::OtherCertificate),
        Proof::Process(_) | Proof::Certificate(_) | Proof::User => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Proof::{Certificate, Inherited, Process, User};

    const PROOFS: [Proof; 6] =
        [Inherited(7), Inherited(0), Process(7), Process(0), Certificate(1), User];

    /// Whether each of [`PROOFS`] proves that it is the same as who came with the first one.
    fn proven(first: Proof) -> [bool; 6] {
        let known = Known::default().with(first);
        PROOFS.map(|proof| known.is_proven_by(proof))
    }

    #[test]
    fn p_r8_a_further_link_proves_no_less_than_the_first() {
        assert_eq!(proven(Inherited(7)), [false, false, true, false, true, false]);
        assert_eq!(proven(Inherited(0)), [false, false, false, false, true, false]);
        assert_eq!(proven(Process(7)), [true, false, true, false, true, false]);
        assert_eq!(proven(Process(8)), [false, false, false, false, true, false]);
        assert_eq!(proven(Process(0)), [false, false, true, true, true, true]);
        assert_eq!(proven(Certificate(1)), [false, false, false, false, true, false]);
        assert_eq!(proven(User), [false, false, true, true, true, true]);
    }

    #[test]
    fn p_r8_what_is_known_only_grows() {
        for first in PROOFS {
            let known = Known::default().with(first);
            for second in PROOFS {
                let both = known.with(second);
                assert!(known.pid == 0 || both.pid == known.pid, "{first:?} {second:?}");
                assert!(both.is_certified || !known.is_certified, "{first:?} {second:?}");
                assert!(both.is_family || !known.is_family, "{first:?} {second:?}");
            }
        }
    }

    #[test]
    fn p_r8_a_claim_is_held_against_its_proof() {
        let id = |pid| ActorId { name: "a".into(), uuid: 1, pid };
        let other = Err(Stranger::OtherProcess { claimed: 7, seen: 8 });
        for origin in [Origin::Accepted, Origin::Dialed] {
            assert_eq!(judge(&id(7), origin, Process(7)), Ok(()));
            assert_eq!(judge(&id(7), origin, Process(8)), other);
            assert_eq!(judge(&id(7), origin, Process(0)), Ok(()), "another pid namespace");
            assert_eq!(judge(&id(0), origin, Process(8)), Ok(()), "it claims none");
            assert_eq!(judge(&id(7), origin, User), Ok(()));
            assert_eq!(judge(&id(7), origin, Certificate(1)), Ok(()));
            let certified = judge(&id(7), origin, Certificate(2));
            assert_eq!(certified, Err(Stranger::OtherCertificate));
            assert_eq!(judge(&id(7), origin, Inherited(7)), Err(Stranger::NotFamily));
        }
        for origin in [Origin::Parent, Origin::Child] {
            assert_eq!(
                judge(&id(7), origin, Inherited(9)),
                Ok(()),
                "in a pid namespace of its own"
            );
            for proof in [Process(7), Certificate(1), User] {
                assert_eq!(judge(&id(7), origin, proof), Err(Stranger::NotFamily));
            }
        }
    }
}
