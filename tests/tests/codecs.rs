//! Codecs: each carries every kind of value, a type may grow where its fields have names, and what is
//! decoded is bounded, in whatever codec.

use std::collections::BTreeMap;
use std::fmt;

use futures_lite::{Stream, StreamExt as _, stream};
use hatchery::codec::{Codec, CodecError, MAX_DEPTH, MessagePack};
use hatchery::{
    CallError, Context, Endpoint as _, Error, ErrorKind, Portal, Receives, Refusal, Result, Sends,
    Starts,
};
use hatchery_tests::worker::{alive, with_worker};
use serde::de::DeserializeSeed;
use serde::ser::SerializeTuple as _;
use serde::{Deserialize, Serialize, Serializer};

/// A codec of one's own.
struct Json;

impl Codec for Json {
    const NUMBER: u8 = 200;
    const NAME: &'static str = "json";

    fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        serde_json::to_writer(out, value).map_err(CodecError::new)
    }

    fn decode<'de, S>(seed: S, bytes: &'de [u8]) -> Result<S::Value, CodecError>
    where
        S: DeserializeSeed<'de>,
    {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        let value = seed.deserialize(&mut json).map_err(CodecError::new)?;
        json.end().map_err(CodecError::new)?;
        Ok(value)
    }
}

/// No program here speaks it.
struct Unspoken;

impl Codec for Unspoken {
    const NUMBER: u8 = 201;
    const NAME: &'static str = "unspoken";

    fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
        Json::encode(value, out)
    }

    fn decode<'de, S>(seed: S, bytes: &'de [u8]) -> Result<S::Value, CodecError>
    where
        S: DeserializeSeed<'de>,
    {
        Json::decode(seed, bytes)
    }
}

/// Values of every kind that there is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    numbers: (bool, i8, i16, i32, i64, u8, u16, u32, u64),
    wide: (i128, u128),
    real: (f32, f64),
    text: (char, String),
    bytes: Vec<u8>,
    nothing: (),
    unit: Unit,
    wrapped: Wrapped,
    pair: Pair,
    maybe: (Option<u8>, Option<Box<Everything>>),
    map: BTreeMap<String, Vec<Shape>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(u32);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pair(u8, String);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Empty,
    One(u64),
    Two(u8, u8),
    Named { a: i16, b: String },
}

fn everything() -> Everything {
    let shapes = vec![
        Shape::Empty,
        Shape::One(u64::MAX),
        Shape::Two(1, 2),
        Shape::Named { a: -3, b: "b".into() },
    ];
    let inner = Everything {
        numbers: (
            true,
            i8::MIN,
            i16::MIN,
            i32::MIN,
            i64::MIN,
            u8::MAX,
            u16::MAX,
            u32::MAX,
            u64::MAX,
        ),
        wide: (i128::from(i64::MIN), u128::from(u64::MAX)),
        real: (1.5, -0.1),
        text: ('ß', "text\0".into()),
        bytes: (0..=255).collect(),
        nothing: (),
        unit: Unit,
        wrapped: Wrapped(7),
        pair: Pair(8, String::new()),
        maybe: (None, None),
        map: BTreeMap::from([("shapes".into(), shapes)]),
    };
    Everything { maybe: (Some(0), Some(Box::new(inner.clone()))), ..inner }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Refuses {
    With { word: String },
}

impl fmt::Display for Refuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it refuses")
    }
}

impl std::error::Error for Refuses {}

/// The same endpoints in each codec.
macro_rules! endpoints {
    ($codec:ident, $same:ident, $echo:ident, $yields:ident) => {
        #[hatchery::endpoint(codec = $codec)]
        async fn $same(value: Everything, fails: bool) -> Result<Everything, Refuses> {
            if fails { Err(Refuses::With { word: "no".into() }) } else { Ok(value) }
        }

        #[hatchery::context(codec = $codec)]
        async fn $echo(
            cx: Context<Starts<Everything>, Sends<Everything>, Receives<Everything>>,
        ) -> Result<Everything> {
            let mut stream = cx.started(everything()).await?.open_stream();
            while let Some(value) = stream.recv().await? {
                stream.send(value).await?;
            }
            Ok(everything())
        }

        #[hatchery::endpoint(codec = $codec)]
        fn $yields(count: usize) -> impl Stream<Item = Everything> {
            stream::iter(std::iter::repeat_with(everything).take(count))
        }
    };
}

use hatchery::codec::Postcard;
endpoints!(Postcard, same_in_postcard, echo_in_postcard, yields_in_postcard);
endpoints!(MessagePack, same_in_messagepack, echo_in_messagepack, yields_in_messagepack);
endpoints!(Json, same_in_json, echo_in_json, yields_in_json);

macro_rules! carries_everything {
    ($worker:ident, $same:ident, $echo:ident, $yields:ident) => {{
        assert_eq!($worker.run($same(everything(), false)).await.unwrap(), everything());
        let refused = $worker.run($same(everything(), true)).await.unwrap_err();
        let CallError::Endpoint { error, .. } = refused else { panic!("{refused:?}") };
        assert_eq!(error, Refuses::With { word: "no".into() });
        let (mut cx, first) = $worker.open_context($echo()).await?;
        assert_eq!(first, everything());
        let mut stream = cx.open_stream()?;
        stream.send(everything()).await?;
        assert_eq!(stream.recv().await?, Some(everything()));
        stream.close().await?;
        assert_eq!(stream.recv().await?, None);
        assert_eq!(cx.result().await?, everything());
        let items: Vec<_> = $worker.open_stream_from($yields(3)).await?.collect().await;
        assert!(items.len() == 3 && items.into_iter().all(|item| item.unwrap() == everything()));
    }};
}

#[hatchery::test]
async fn msg_06_every_codec_carries_every_kind_of_value_on_every_way() -> Result<()> {
    with_worker(async |worker| {
        carries_everything!(worker, same_in_postcard, echo_in_postcard, yields_in_postcard);
        carries_everything!(
            worker,
            same_in_messagepack,
            echo_in_messagepack,
            yields_in_messagepack
        );
        carries_everything!(worker, same_in_json, echo_in_json, yields_in_json);
        Ok(())
    })
    .await
}

/// What the program that runs knows of an order.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    item: String,
    count: u32,
    #[serde(default)]
    urgent: bool,
}

/// What one of before knew: less, and something that is gone.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct OldOrder {
    colour: String,
    item: String,
    count: u32,
}

/// Takes an order as it is known now.
#[hatchery::endpoint(codec = MessagePack)]
async fn doubled(order: Order) -> Order {
    Order { count: 2 * order.count, urgent: true, ..order }
}

/// What comes back, as it was known before.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct OldAnswer {
    count: u32,
    item: String,
    #[serde(default)]
    colour: String,
}

#[hatchery::test]
async fn msg_05_fields_that_have_names_may_come_and_go() -> Result<()> {
    with_worker(async |worker| {
        let old = OldOrder { colour: "red".into(), item: "nail".into(), count: 4 };
        let answer: OldAnswer =
            worker.call_named_in::<MessagePack, _>(doubled::NAME, (old,)).await?;
        assert_eq!(answer, OldAnswer { count: 8, item: "nail".into(), colour: String::new() });
        Ok(())
    })
    .await
}

/// What a call that was refused was refused for.
fn refusal<T: fmt::Debug>(called: Result<T>) -> (Refusal, String) {
    let error = called.unwrap_err();
    match error.kind() {
        ErrorKind::Refused(refusal) => (*refusal, error.to_string()),
        _ => panic!("{error:?}"),
    }
}

#[hatchery::test]
async fn p_d2_a_call_in_another_codec_is_refused_and_says_which() -> Result<()> {
    with_worker(async |worker| {
        let order = || (Order { item: "nail".into(), count: 1, urgent: false },);
        // One that the program speaks, elsewhere.
        let (why, text) = refusal(worker.call_named::<Order>(doubled::NAME, order()).await);
        assert_eq!(why, Refusal::SchemaMismatch, "{text}");
        assert!(text.contains("speaks codec 1") && text.contains("in codec 0"), "{text}");
        // One that it does not speak at all, which the core knows before it has the arguments.
        let called = worker.call_named_in::<Unspoken, Order>(doubled::NAME, order());
        let (why, text) = refusal(called.await);
        assert_eq!(why, Refusal::BadArguments, "{text}");
        assert!(text.contains("codec 201 is unknown"), "{text}");
        assert!(worker.run(alive()).await?);
        Ok(())
    })
    .await
}

/// Nests as deep as it says.
#[derive(Debug, Serialize, Deserialize)]
struct Nest(Option<Box<Nest>>);

#[hatchery::endpoint]
async fn takes_nest(nest: Nest) {
    drop(nest);
}

#[hatchery::endpoint(codec = MessagePack)]
async fn takes_nest_in_messagepack(nest: Nest) {
    drop(nest);
}

#[hatchery::endpoint(codec = Json)]
async fn takes_nest_in_json(nest: Vec<serde_json::Value>) {
    drop(nest);
}

#[hatchery::endpoint]
async fn takes_nothings(nothings: Vec<()>) -> usize {
    nothings.len()
}

/// Bytes as they are, in any codec that adds none of its own for them.
struct Raw(Vec<u8>);

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut bytes = to.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| bytes.serialize_element(byte))?;
        bytes.end()
    }
}

/// What writes its bytes as another codec's.
macro_rules! bytes_for {
    ($name:ident, $number:expr) => {
        struct $name;

        impl Codec for $name {
            const NUMBER: u8 = $number;
            const NAME: &'static str = "raw bytes";

            fn encode<T: Serialize>(value: &T, out: &mut Vec<u8>) -> Result<(), CodecError> {
                Postcard::encode(value, out)
            }

            fn decode<'de, S>(seed: S, bytes: &'de [u8]) -> Result<S::Value, CodecError>
            where
                S: DeserializeSeed<'de>,
            {
                Postcard::decode(seed, bytes)
            }
        }
    };
}

bytes_for!(AsPostcard, Postcard::NUMBER);
bytes_for!(AsMessagePack, MessagePack::NUMBER);
bytes_for!(AsJson, Json::NUMBER);

/// Sends bytes that no encoder would have written, and says what the call was refused for.
async fn hostile<C: Codec>(worker: &Portal, name: &str, bytes: Vec<u8>) -> String {
    let (why, text) = refusal(worker.call_named_in::<C, ()>(name, Raw(bytes)).await);
    assert_eq!(why, Refusal::BadArguments, "{text}");
    text
}

#[hatchery::test]
async fn what_nests_too_deep_is_refused_and_the_actor_lives_whatever_the_codec() -> Result<()> {
    with_worker(async |worker| {
        const DEEP: usize = 200_000;
        let postcard = [vec![1; DEEP], vec![0]].concat();
        let text = hostile::<AsPostcard>(worker, takes_nest::NAME, postcard).await;
        assert!(text.contains(&format!("nests more than {MAX_DEPTH} deep")), "{text}");
        // An array of one, of arrays of one.
        let messagepack = [vec![0x91; DEEP], vec![0xc0]].concat();
        hostile::<AsMessagePack>(worker, takes_nest_in_messagepack::NAME, messagepack).await;
        let json = [vec![b'['; DEEP], vec![b']'; DEEP]].concat();
        hostile::<AsJson>(worker, takes_nest_in_json::NAME, json).await;
        let shallow = Nest(Some(Box::new(Nest(None))));
        worker.run(takes_nest(shallow)).await
    })
    .await
}

#[hatchery::test]
async fn a_value_of_more_parts_than_its_bytes_can_tell_of_is_refused() -> Result<()> {
    with_worker(async |worker| {
        // 2^62 of nothing, announced in nine bytes.
        let nothings = vec![0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40];
        let text = hostile::<AsPostcard>(worker, takes_nothings::NAME, nothings).await;
        assert!(text.contains("more parts than its bytes"), "{text}");
        assert_eq!(worker.run(takes_nothings(vec![(); 60_000])).await?, 60_000);
        Ok(())
    })
    .await
}

/// Cannot be read if it is 7.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
#[derive(Clone)]
struct NotSeven(u8);

impl TryFrom<u8> for NotSeven {
    type Error = &'static str;

    fn try_from(value: u8) -> std::result::Result<Self, &'static str> {
        if value == 7 { Err("seven is not taken") } else { Ok(Self(value)) }
    }
}

impl From<NotSeven> for u8 {
    fn from(value: NotSeven) -> Self {
        value.0
    }
}

/// Does without what it cannot read, as far as that goes.
#[hatchery::context]
async fn makes_do(cx: Context<Starts<()>, Sends<NotSeven>, Receives<NotSeven>>) -> Result<u64> {
    let mut stream = cx.started(()).await?.open_stream();
    while let Ok(Some(value)) = stream.recv().await {
        stream.send(value).await?;
    }
    let again = stream.recv().await.unwrap_err();
    assert_eq!(*again.kind(), ErrorKind::Codec, "{again:?}");
    let unsent = stream.send(NotSeven(1)).await.unwrap_err();
    assert_eq!(*unsent.kind(), ErrorKind::Codec, "{unsent:?}");
    Ok(42)
}

#[hatchery::test]
async fn msg_04_a_task_that_makes_do_without_a_value_has_failed_for_its_opener() -> Result<()> {
    with_worker(async |worker| {
        let (mut beside, ()) = worker.open_context(makes_do()).await?;
        let mut other = beside.open_stream()?;
        let (mut cx, ()) = worker.open_context(makes_do()).await?;
        let mut stream = cx.open_stream()?;
        stream.send(NotSeven(1)).await?;
        assert_eq!(stream.recv().await?, Some(NotSeven(1)));
        stream.send(NotSeven(7)).await?;
        let error = cx.result().await.unwrap_err();
        assert_eq!(error.origin().name, "worker");
        for word in ["value 2 from", "makes_do", "seven is not taken"] {
            assert!(error.to_string().contains(word), "{error}");
        }
        other.send(NotSeven(3)).await?;
        assert_eq!(other.recv().await?, Some(NotSeven(3)));
        Ok(())
    })
    .await
}

/// Sends so many, and says why it had to end.
#[hatchery::context]
async fn sends_sevens(cx: Context<Starts<()>, Sends<NotSeven>, Receives<u8>>) -> Result<()> {
    let mut stream = cx.started(()).await?.open_stream();
    for value in 5..10 {
        stream.send(NotSeven(value)).await?;
    }
    stream.recv().await.map(drop)
}

#[hatchery::test]
async fn msg_04_what_an_opener_cannot_read_ends_its_context_for_good() -> Result<()> {
    with_worker(async |worker| {
        let (mut cx, ()) = worker.open_context(sends_sevens()).await?;
        let mut stream = cx.open_stream()?;
        for value in [5, 6] {
            assert_eq!(stream.recv().await?, Some(NotSeven(value)));
        }
        for _ in 0..2 {
            let error = stream.recv().await.unwrap_err();
            assert_eq!(*error.kind(), ErrorKind::Codec, "{error:?}");
            assert!(error.to_string().contains("value 3 from"), "{error}");
        }
        let unsent = stream.send(1).await.unwrap_err();
        assert_eq!(*unsent.kind(), ErrorKind::Codec, "{unsent:?}");
        let error = cx.result().await.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Codec, "{error:?}");
        assert!(cx.canceller().is_some_and(|by| by.pid == std::process::id()));
        assert!(worker.run(alive()).await?);
        Ok(())
    })
    .await
}

#[hatchery::endpoint]
fn yields_sevens() -> impl Stream<Item = NotSeven> {
    stream::iter((5..10).map(NotSeven)).chain(stream::pending())
}

#[hatchery::test]
async fn msg_04_a_producer_whose_item_cannot_be_read_is_cancelled() -> Result<()> {
    with_worker(async |worker| {
        let block: Result<()> = worker
            .with_stream_from(yields_sevens(), async |mut source| {
                while source.recv().await?.is_some() {}
                Ok(())
            })
            .await;
        let error = block.unwrap_err();
        assert_eq!(*error.kind(), ErrorKind::Codec, "{error:?}");
        let source = worker.open_stream_from(yields_sevens()).await?;
        let items: Vec<_> = source.collect().await;
        assert_eq!(items.len(), 3, "the error is the last");
        let error: &Error = items[2].as_ref().unwrap_err();
        assert!(error.to_string().contains("value 3 from"), "{error}");
        Ok(())
    })
    .await
}
