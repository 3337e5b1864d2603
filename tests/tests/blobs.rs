//! Blobs: bytes that are handed on and not copied arrive like any other value, wherever they stand in
//! it and whatever carries it.

use hatchery::codec::{Codec, CodecError, MessagePack, Postcard};
use hatchery::{Blob, Context, Receives, Result, Sends, Starts};
use hatchery_tests::worker::with_worker;
use serde::de::DeserializeSeed;
use serde::{Deserialize, Serialize};

/// Postcard, with each byte turned over behind its back.
struct Turned;

impl Codec for Turned {
    const NUMBER: u8 = 210;
    const NAME: &'static str = "turned";

    fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        let begin = out.len();
        Postcard::encode(value, out)?;
        out[begin..].iter_mut().for_each(|byte| *byte = !*byte);
        Ok(())
    }

    fn decode<'de, S>(seed: S, bytes: &'de [u8]) -> Result<S::Value, CodecError>
    where
        S: DeserializeSeed<'de>,
    {
        // Leaked, since what is decoded may borrow from it for as long as from what has come.
        let bytes: Vec<u8> = bytes.iter().map(|byte| !byte).collect();
        let mut from = postcard::Deserializer::from_bytes(bytes.leak());
        seed.deserialize(&mut from).map_err(CodecError::new)
    }
}

/// Blobs between other things.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Picture {
    name: String,
    layers: Vec<Blob>,
    /// Encodes a value of its own while it is encoded itself.
    nested: Nested,
    size: (u32, u32),
}

#[derive(Clone, Debug, PartialEq)]
struct Nested(Blob);

impl Serialize for Nested {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut bytes = Vec::new();
        Postcard::encode(&self.0, &mut bytes).map_err(serde::ser::Error::custom)?;
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Nested {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = Blob::deserialize(from)?;
        postcard::from_bytes(&bytes).map(Self).map_err(serde::de::Error::custom)
    }
}

fn bytes(seed: usize, size: usize) -> Vec<u8> {
    (0..size).map(|place| ((place + seed) % 251) as u8).collect()
}

const SIZES: [usize; 8] = [0, 3, 16_383, 16_384, 40_000, 65_536, 70_000, 1_000_000];

/// Of every size alone, and of many together.
fn pictures() -> Vec<Picture> {
    let blob = |seed, size| Blob::from(bytes(seed, size));
    let mut layers: Vec<Vec<Blob>> = SIZES.iter().map(|size| vec![blob(1, *size)]).collect();
    layers.push(SIZES.iter().enumerate().map(|(seed, size)| blob(seed, *size)).collect());
    let twice = blob(5, 50_000);
    layers.push(vec![twice.clone(), twice.slice(7..40_000), twice]);
    let picture = |(n, layers)| Picture {
        name: format!("picture {n}"),
        layers,
        nested: Nested(blob(9, 20_000 * (n % 3))),
        size: (n as u32, 7),
    };
    layers.into_iter().enumerate().map(picture).collect()
}

macro_rules! echoes {
    ($context:ident, $call:ident, $codec:ty) => {
        #[hatchery::context(codec = $codec)]
        async fn $context(
            cx: Context<Starts<Blob>, Sends<Picture>, Receives<Picture>>,
            first: Blob,
        ) -> Result<Blob> {
            let mut stream = cx.started(first.clone()).await?.open_stream();
            while let Some(picture) = stream.recv().await? {
                stream.send(picture).await?;
            }
            Ok(first)
        }

        #[hatchery::endpoint(codec = $codec)]
        async fn $call(picture: Picture) -> Picture {
            picture
        }
    };
}

echoes!(echo, echo_call, Postcard);
echoes!(echo_packed, echo_call_packed, MessagePack);
echoes!(echo_turned, echo_call_turned, Turned);

macro_rules! arrives {
    ($context:ident, $call:ident) => {
        with_worker(async |worker| {
            for picture in pictures() {
                let name = picture.name.clone();
                let answer = worker.run($call(picture.clone())).await?;
                assert!(answer == picture, "{name} by a call");
            }
            let first = Blob::from(bytes(4, 300_000));
            let (mut context, started) = worker.open_context($context(first.clone())).await?;
            assert!(started == first);
            let mut stream = context.open_stream()?;
            for picture in pictures() {
                let name = picture.name.clone();
                stream.send(picture.clone()).await?;
                assert!(stream.recv().await? == Some(picture), "{name} on a stream");
            }
            stream.close().await?;
            assert!(context.result().await? == first);
            Ok(())
        })
        .await
    };
}

#[hatchery::test]
async fn str_01_blobs_arrive_wherever_they_stand() -> Result<()> {
    arrives!(echo, echo_call)
}

#[hatchery::test]
async fn str_01_blobs_arrive_with_the_names_of_fields() -> Result<()> {
    arrives!(echo_packed, echo_call_packed)
}

#[hatchery::test]
async fn str_01_a_codec_of_ones_own_sees_all_of_their_bytes() -> Result<()> {
    arrives!(echo_turned, echo_call_turned)
}

#[test]
fn a_blob_is_bytes_in_every_encoding() {
    for size in SIZES {
        let (plain, blob) = (bytes(2, size), Blob::from(bytes(2, size)));
        assert_eq!(postcard::to_allocvec(&blob).unwrap(), postcard::to_allocvec(&plain).unwrap());
        let mut out = b"before".to_vec();
        Postcard::encode(&blob, &mut out).unwrap();
        assert!(out[6..] == postcard::to_allocvec(&blob).unwrap());
        let text = serde_json::to_string(&blob).unwrap();
        assert!(serde_json::from_str::<Blob>(&text).unwrap() == blob);
    }
    let blob: Blob = serde_json::from_str("\"text\"").unwrap();
    assert_eq!(blob, "text");
}

#[test]
fn a_blob_shares_its_bytes_and_gives_them_back() {
    let vector = bytes(1, 100);
    let place = vector.as_ptr();
    let blob = Blob::from(vector);
    let part = blob.slice(10..=20);
    assert_eq!((part.as_ptr(), part.len()), (place.wrapping_add(10), 11));
    assert_eq!(part.slice(1..), part[1..]);
    assert_eq!(blob.clone().as_ptr(), place);
    let copy = blob.clone().into_vec();
    assert_ne!(copy.as_ptr(), place, "others hold it");
    drop(part);
    let vector = blob.into_vec();
    assert_eq!(vector.as_ptr(), place);
    let part = Blob::from(bytes(1, 100)).slice(..50);
    assert_eq!(part.into_vec(), bytes(1, 50));
    assert_eq!(format!("{:?}", Blob::from(&b"ab\n"[..])), "Blob(3 B: ab\\n)");
    assert!(std::panic::catch_unwind(|| Blob::new().slice(1..)).is_err());
}
