//! Open descriptors as values. What a descriptor leads to is never looked at, and how it travels is the
//! link's business.

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use hatchery_proto::{Handle, Limits, Passed};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Error as _, Serialize, Serializer};

/// An open descriptor that is sent to another actor: a file, a socket, an end of a pipe, a memfd. Behind
/// the feature `descriptors`.
///
/// It may stand anywhere in the arguments and the result of a call, in a context's first value and in
/// the values of streams, whatever the codec; up to 16 in a value. The other actor has it as if it had
/// opened it itself: what both read and write is the same file, at the same place in it, and an end of
/// a pipe is closed once both have closed it. What is received is close-on-exec. A clone is the same
/// descriptor under the same number, and it is closed with the last of them; sending one borrows it.
///
/// ```
/// use std::io::{Read, Write};
///
/// use hatchery::Descriptor;
/// # use hatchery::prelude::*;
///
/// #[hatchery::endpoint]
/// async fn shout(into: Descriptor, words: String) -> hatchery::Result<()> {
///     let mut into = std::fs::File::from(into.into_fd().map_err(hatchery::Error::new)?);
///     into.write_all(words.to_uppercase().as_bytes()).map_err(hatchery::Error::new)
/// }
///
/// # fn main() -> hatchery::Result<()> {
/// # hatchery::init();
/// # hatchery::run(open_nursery(async |nursery: Nursery| {
/// # let worker = nursery.start_actor("worker").await?;
/// let (mut read, write) = std::io::pipe().map_err(hatchery::Error::new)?;
/// worker.run(shout(write.into(), "hello".into())).await?;
/// let mut heard = String::new();
/// // To the end, which has come: nobody has the other one open any more.
/// read.read_to_string(&mut heard).map_err(hatchery::Error::new)?;
/// assert_eq!(heard, "HELLO");
/// # worker.cancel().await
/// # }))
/// # }
/// ```
///
/// # Where they go
/// Over Unix sockets, to programs with this feature: between parents and the children that they start,
/// between actors that are linked by `unix:` addresses, and within an actor. Sending one over anything
/// else (TCP, TLS, QUIC, a launcher's pipes), or to a program without the feature, is a
/// [`Misuse`](crate::ErrorKind::Misuse) that says which it is, and nothing is sent. Typed errors, values
/// of a [`Publisher`](crate::Publisher) and the arguments and results of an actor's main task carry none.
///
/// # Bounds
/// Each costs the sender of a value a sixteenth of the window (P-F6), so that a reader that is slow has
/// about 16 waiting, and its sender waits. Of all that have arrived on a link and that nobody has taken
/// 256 are kept; what comes then is closed at once, and its value does not decode. So it is where this
/// process has no room for them (`EMFILE`). Those of values that are dropped unread are closed with
/// them.
#[derive(Clone)]
pub struct Descriptor(Arc<OwnedFd>);

impl Descriptor {
    /// The descriptor itself; a duplicate where a clone of this is held.
    ///
    /// # Errors
    /// Only of the duplicate, where this process has no room for it.
    pub fn into_fd(self) -> io::Result<OwnedFd> {
        Arc::try_unwrap(self.0).or_else(|shared| shared.try_clone())
    }
}

impl AsFd for Descriptor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl fmt::Debug for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Descriptor").field(&self.0).finish()
    }
}

impl<T: Into<OwnedFd>> From<T> for Descriptor {
    /// That of a file, a socket, an end of a pipe: of whatever owns one.
    fn from(of: T) -> Self {
        Self(Arc::new(of.into()))
    }
}

/// What is serialized, with the descriptor's place among those of its message.
const NAME: &str = "Descriptor";

impl Serialize for Descriptor {
    /// Only as part of what a call, a context or a stream sends.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match collect(self.0.clone()) {
            Ok(place) => serializer.serialize_newtype_struct(NAME, &place),
            Err(why) => Err(S::Error::custom(why)),
        }
    }
}

impl<'de> Deserialize<'de> for Descriptor {
    /// Only as part of what a call, a context or a stream has received.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        #[serde(rename = "Descriptor")]
        struct Place(u8);

        let Place(place) = Place::deserialize(deserializer)?;
        match handed_out(place) {
            Ok(Some(descriptor)) => Ok(Self(descriptor)),
            Ok(None) => {
                Err(D::Error::custom("no descriptor has come for it with its message (P-F6)"))
            }
            Err(why) => Err(D::Error::custom(why)),
        }
    }
}

/// What this thread encodes or decodes.
enum At {
    Nothing,
    /// With what was met, and why no more could be.
    Encoding(Vec<Handle>, Option<String>),
    Decoding(Passed),
}

thread_local! {
    static AT: RefCell<At> = const { RefCell::new(At::Nothing) };
}

/// What this thread encodes or decodes until this is dropped; then again what it did before.
pub(crate) struct Scope(At);

impl Scope {
    /// The descriptors of a value that is encoded are collected.
    pub(crate) fn collect() -> Self {
        Self::begin(At::Encoding(Vec::new(), None))
    }

    /// These are given to the value that is decoded.
    pub(crate) fn hand_out(passed: Passed) -> Self {
        Self::begin(At::Decoding(passed))
    }

    fn begin(at: At) -> Self {
        Self(AT.try_with(|now| now.replace(at)).unwrap_or(At::Nothing))
    }

    /// Those that were met, and why there are no more.
    pub(crate) fn collected(self) -> (Passed, Option<String>) {
        let end = |at: &RefCell<At>| mem::replace(&mut *at.borrow_mut(), At::Nothing);
        match AT.try_with(end) {
            Ok(At::Encoding(met, why)) => (Passed::of(met), why),
            _ => (Passed::NONE, None),
        }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let before = mem::replace(&mut self.0, At::Nothing);
        let ended = AT.try_with(|now| now.replace(before));
        drop(ended);
    }
}

/// Has it go with the value that is being encoded, and says at which place.
fn collect(descriptor: Arc<OwnedFd>) -> Result<u8, String> {
    let place = AT.try_with(|at| match &mut *at.borrow_mut() {
        At::Encoding(met, why) => {
            let most = usize::from(Limits::DESCRIPTORS);
            let place = u8::try_from(met.len()).ok().filter(|_| met.len() < most);
            let Some(place) = place else {
                let many = format!("a message carries at most {most} descriptors (P-F6)");
                return Err(why.insert(many).clone());
            };
            met.push(descriptor);
            Ok(place)
        }
        _ => {
            Err("a descriptor is sent as part of what a call, a context or a stream sends, and of \
                  nothing else (P-F6)"
                .to_owned())
        }
    });
    place.unwrap_or_else(|_| Err("a descriptor cannot be sent while its thread ends".to_owned()))
}

/// The one at this place among those that came with the message.
fn handed_out(place: u8) -> Result<Option<Arc<OwnedFd>>, String> {
    let found = AT.try_with(|at| match &*at.borrow() {
        At::Decoding(passed) => match passed.why_missing() {
            Some(why) => Err(format!("{why}")),
            None => {
                let handle = passed.handles().get(usize::from(place)).cloned();
                Ok(handle.and_then(|handle| handle.downcast().ok()))
            }
        },
        _ => Ok(None),
    });
    found.unwrap_or(Ok(None))
}

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, PipeWriter, Read, Write, pipe};

    use serde::de::DeserializeOwned;

    use super::*;
    use crate::codec::{Codec, Postcard, put_passing, take_passing};
    use crate::passing::collecting;

    fn put<T: Serialize>(value: &T) -> Result<(Vec<u8>, Passed), String> {
        let mut bytes = Vec::new();
        let put = put_passing(Postcard::encode, value, &mut bytes);
        put.map(|passed| (bytes, passed)).map_err(|error| error.to_string())
    }

    fn take<T: DeserializeOwned>(bytes: &[u8], passed: &Passed) -> Result<T, String> {
        let take = crate::codec::take::<Postcard, T>;
        take_passing(take, bytes, passed).map_err(|error| error.to_string())
    }

    fn any() -> Descriptor {
        pipe().unwrap().0.into()
    }

    /// Reads to the end, which comes once all of the other end are closed.
    fn read(mut from: impl Read) -> String {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn p_f6_what_is_in_a_value_goes_with_it_and_comes_out_in_its_place() {
        let (ours, theirs) = pipe().unwrap();
        let (read_there, mut write_here) = pipe().unwrap();
        let value = (7_u8, vec![Descriptor::from(theirs)], Some(Descriptor::from(read_there)));
        let (bytes, passed) = put(&value).unwrap();
        drop(value);
        assert_eq!(passed.handles().len(), 2);
        type Value = (u8, Vec<Descriptor>, Option<Descriptor>);
        let (seven, mut first, second): Value = take(&bytes, &passed).unwrap();
        drop(passed);
        assert_eq!(seven, 7);
        let mut first = PipeWriter::from(first.remove(0).into_fd().unwrap());
        first.write_all(b"there to here").unwrap();
        drop(first);
        assert_eq!(read(ours), "there to here");
        write_here.write_all(b"here to there").unwrap();
        drop(write_here);
        assert_eq!(read(PipeReader::from(second.unwrap().into_fd().unwrap())), "here to there");
    }

    #[test]
    fn p_f6_elsewhere_and_beyond_the_bound_it_is_an_error_with_words() {
        let one = any();
        let text = serde_json::to_string(&one).unwrap_err().to_string();
        assert!(text.contains("a call, a context or a stream"), "{text}");
        assert!(serde_json::from_str::<Descriptor>("0").is_err());
        assert!(put(&vec![one.clone(); 16]).is_ok());
        let many = put(&vec![one.clone(); 17]).unwrap_err();
        assert_eq!(many, "a message carries at most 16 descriptors (P-F6)");
        let (bytes, passed) = put(&one).unwrap();
        let none = take::<Descriptor>(&bytes, &Passed::NONE).unwrap_err();
        assert!(none.contains("no descriptor has come for it"), "{none}");
        let other = take::<Descriptor>(&[5], &passed).unwrap_err();
        assert_eq!(other, none);
        let missing = Passed::missing(hatchery_proto::Missing::NoRoom);
        let missing = take::<Descriptor>(&bytes, &missing).unwrap_err();
        assert!(missing.contains("EMFILE"), "{missing}");
    }

    #[test]
    fn p_f6_a_value_within_a_value_leaves_the_outer_one_as_it_was() {
        struct Nests(Descriptor);
        impl Serialize for Nests {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let (_, passed) = put(&(&self.0, &self.0)).unwrap();
                assert_eq!(passed.handles().len(), 2);
                self.0.serialize(serializer)
            }
        }
        let one = any();
        let (bytes, passed) = put(&(one.clone(), Nests(one))).unwrap();
        assert_eq!((bytes, passed.handles().len()), (vec![0, 1], 2));
        let panics = std::panic::catch_unwind(|| collecting(|| panic!("as users do")));
        assert!(panics.is_err());
        assert!(serde_json::to_string(&any()).is_err(), "the scope has ended");
    }

    #[test]
    fn a_clone_is_the_same_descriptor_and_the_last_closes_it() {
        use std::os::fd::AsRawFd;

        let (ours, theirs) = pipe().unwrap();
        let number = theirs.as_raw_fd();
        let one = Descriptor::from(theirs);
        let other = one.clone();
        assert_eq!(other.as_fd().as_raw_fd(), number);
        let duplicate = other.into_fd().unwrap();
        assert_ne!(duplicate.as_raw_fd(), number);
        drop(duplicate);
        let mut last = PipeWriter::from(one.into_fd().unwrap());
        assert_eq!(last.as_raw_fd(), number);
        last.write_all(b"open").unwrap();
        drop(last);
        assert_eq!(read(ours), "open");
    }
}
