//! The bodies that every call has, by hand where they are as they usually are: postcard's bytes, in
//! less time. Whatever is unusual in one, and whatever is wrong, is left to postcard, so that nothing is
//! taken or refused here that would not be there.

use alloc::vec::Vec;

use super::body::{self, Credit, Done, Kind, Start, StartAck};
use super::{Tag, put_varint, take_varint};
use crate::error::Violation;

impl<'a> Start<'a> {
    /// Appends it.
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        if self.deadline.is_some() || self.trace.is_some() {
            return body::put(out, self);
        }
        put_varint(out, u64::try_from(self.endpoint.len()).unwrap_or(u64::MAX));
        out.extend_from_slice(self.endpoint.as_bytes());
        out.push(self.kind as u8);
        put_varint(out, self.schema);
        out.push(self.codec);
        put_varint(out, self.credit.into());
        // Neither a deadline nor a trace.
        out.extend_from_slice(&[0, 0]);
    }

    /// Reads it, as [`body::take_first`] does.
    pub(crate) fn take_first(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Violation> {
        match Self::usual(bytes) {
            Some(taken) => Ok(taken),
            None => body::take_first(bytes, Tag::Start.name()),
        }
    }

    fn usual(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (len, rest) = take_varint(bytes)?;
        let (endpoint, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
        let endpoint = core::str::from_utf8(endpoint).ok()?;
        let (kind, rest) = kind_of(rest)?;
        let (schema, rest) = take_varint(rest)?;
        let (&codec, rest) = rest.split_first()?;
        let (credit, rest) = take_varint(rest)?;
        let credit = u32::try_from(credit).ok()?;
        let [0, 0, rest @ ..] = rest else { return None };
        Some((Self { endpoint, kind, schema, codec, credit, deadline: None, trace: None }, rest))
    }
}

impl StartAck {
    /// Appends it.
    pub(crate) fn put(self, out: &mut Vec<u8>) {
        out.push(self.kind as u8);
        put_varint(out, self.credit.into());
    }

    /// Reads it, as [`body::take`] does.
    pub(crate) fn take(bytes: &[u8]) -> Result<Self, Violation> {
        match Self::usual(bytes) {
            Some(taken) => Ok(taken),
            None => body::take(bytes, Tag::StartAck.name()),
        }
    }

    fn usual(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = kind_of(bytes)?;
        let (credit, []) = take_varint(rest)? else { return None };
        Some(Self { kind, credit: u32::try_from(credit).ok()? })
    }
}

impl Credit {
    /// Appends it.
    pub(crate) fn put(self, out: &mut Vec<u8>) {
        put_varint(out, self.bytes.into());
        out.push(self.done as u8);
    }

    /// Reads it, as [`body::take`] does.
    pub(crate) fn take(bytes: &[u8]) -> Result<Self, Violation> {
        match Self::usual(bytes) {
            Some(taken) => Ok(taken),
            None => body::take(bytes, Tag::Credit.name()),
        }
    }

    fn usual(bytes: &[u8]) -> Option<Self> {
        // Most that is given back says nothing else.
        let (given, [0]) = take_varint(bytes)? else { return None };
        Some(Self { bytes: u32::try_from(given).ok()?, done: Done::No })
    }
}

fn kind_of(bytes: &[u8]) -> Option<(Kind, &[u8])> {
    let (&kind, rest) = bytes.split_first()?;
    let kind = match kind {
        0 => Kind::Call,
        1 => Kind::Stream,
        2 => Kind::Context,
        3 => Kind::Actor,
        _ => return None,
    };
    Some((kind, rest))
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use core::time::Duration;

    use super::*;

    const NUMBERS: [u64; 9] =
        [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, u32::MAX as u64, 1 << 62, u64::MAX];
    const KINDS: [Kind; 4] = [Kind::Call, Kind::Stream, Kind::Context, Kind::Actor];

    fn small(number: u64) -> u32 {
        u32::try_from(number).unwrap_or(u32::MAX - 1)
    }

    /// Bodies as postcard writes them.
    fn bodies() -> [Vec<Vec<u8>>; 3] {
        let (mut starts, mut acks, mut credits) = (vec![], vec![], vec![]);
        let write = |put: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = vec![];
            put(&mut bytes);
            bytes
        };
        for number in NUMBERS {
            for kind in KINDS {
                let credit = small(number);
                for (deadline, trace) in [
                    (None, None),
                    (Some(Duration::from_millis(1_001)), None),
                    (None, Some(b"trace".as_slice())),
                ] {
                    for endpoint in ["", "x", "an::endpoint::of::some::module", "ü"] {
                        let codec = number as u8;
                        let start = Start {
                            endpoint,
                            kind,
                            schema: number,
                            codec,
                            credit,
                            deadline,
                            trace,
                        };
                        let bytes = write(&|out| body::put(out, &start));
                        assert_eq!(write(&|out| start.put(out)), bytes, "{start:?}");
                        starts.push(bytes);
                    }
                }
                let ack = StartAck { kind, credit };
                let bytes = write(&|out| body::put(out, &ack));
                assert_eq!(write(&|out| ack.put(out)), bytes, "{ack:?}");
                acks.push(bytes);
            }
            for done in [Done::No, Done::Gone, Done::Overrun] {
                let credit = Credit { bytes: small(number), done };
                let bytes = write(&|out| body::put(out, &credit));
                assert_eq!(write(&|out| credit.put(out)), bytes, "{credit:?}");
                credits.push(bytes);
            }
        }
        [starts, acks, credits]
    }

    /// These bytes, and others near them: each cut short, with one more, and with one that is another.
    fn around(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut all = vec![bytes.to_vec(), [bytes, &[0]].concat(), [bytes, &[0x80]].concat()];
        for place in 0..bytes.len() {
            all.push(bytes[..place].to_vec());
            for other in [0, 1, 2, 3, 4, 0x7f, 0x80, 0xff, bytes[place] | 0x80, bytes[place] ^ 1] {
                let mut changed = bytes.to_vec();
                changed[place] = other;
                all.push(changed.clone());
                // A varint that goes on with nothing.
                changed.insert(place + 1, 0);
                all.push(changed);
            }
        }
        all
    }

    #[test]
    fn what_is_written_by_hand_is_what_postcard_writes() {
        let [starts, acks, credits] = bodies();
        assert!(starts.len() > 400 && acks.len() == 36 && credits.len() == 27);
    }

    #[test]
    fn what_is_read_by_hand_is_what_postcard_reads_and_nothing_else_is() {
        let [starts, acks, credits] = bodies();
        let mut read = 0;
        for bytes in starts.iter().flat_map(|bytes| around(bytes)) {
            if let Some((start, rest)) = Start::usual(&bytes) {
                let name = Tag::Start.name();
                let (other, behind) = body::take_first::<Start<'_>>(&bytes, name).unwrap();
                assert_eq!(alloc::format!("{start:?}"), alloc::format!("{other:?}"));
                assert_eq!(rest, behind);
                read += 1;
            }
        }
        for bytes in acks.iter().flat_map(|bytes| around(bytes)) {
            if let Some(ack) = StartAck::usual(&bytes) {
                let other: StartAck = body::take(&bytes, Tag::StartAck.name()).unwrap();
                assert_eq!((ack.kind, ack.credit), (other.kind, other.credit));
                read += 1;
            }
        }
        for bytes in credits.iter().flat_map(|bytes| around(bytes)) {
            if let Some(credit) = Credit::usual(&bytes) {
                let other: Credit = body::take(&bytes, Tag::Credit.name()).unwrap();
                assert_eq!((credit.bytes, credit.done), (other.bytes, other.done));
                read += 1;
            }
        }
        // And those that are usual are read so.
        assert!(read > 1_000, "{read}");
        assert!(starts.iter().filter(|bytes| Start::usual(bytes).is_some()).count() == 9 * 4 * 4);
        assert!(acks.iter().all(|bytes| StartAck::usual(bytes).is_some()));
        assert_eq!(credits.iter().filter(|bytes| Credit::usual(bytes).is_some()).count(), 9);
    }
}
