//! Frames: golden bytes of version 1, and what is no frame of it.

use hatchery_proto::wire::deframer::Deframer;
use hatchery_proto::wire::{MORE, Tag, put_frame, put_varint, take_varint};
use hatchery_proto::{DialogId, Kind, Limits, Terminal};
use hatchery_tests::pair::{Pair, asked_by, cancel_by};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn golden_bytes_of_version_1() {
    // P-F1: these bytes are frozen
    let mut pair = Pair::peers(&Limits::default(), &Limits::default());
    let hello = pair.a.bytes(pair.now);
    let expected = "27000000 01 00 48544348 0100 0100 \
                    01 0a00 07 6163746f722031 01 01 \
                    02 0100 00 \
                    03 0900 c08004 80808002 8020";
    assert_eq!(hex(&hello), expected.replace(' ', ""));
    let theirs = pair.b.bytes(pair.now);
    pair.a.core.handle_input(pair.now, &theirs);
    pair.b.core.handle_input(pair.now, &hello);

    let id = pair.start(Kind::Context, b"args");
    let start = pair.a.bytes(pair.now);
    let expected =
        "1f000000 02 02 00 0f 74657374733a3a656e64706f696e74 02 07 00 808010 00 00 61726773";
    assert_eq!(hex(&start), expected.replace(' ', ""));
    pair.b.core.handle_input(pair.now, &start);

    let mut callee = pair.b.core.callee(id).unwrap();
    callee.accept();
    callee.started(b"up").unwrap();
    callee.send(b"value").unwrap();
    callee.stop().unwrap();
    callee.finish(Terminal::Return(b"end".to_vec()));
    let expected = "06000000 03 02 02 808010 \
                    05000000 04 02 00 7570 \
                    08000000 05 02 00 76616c7565 \
                    02000000 06 02 \
                    06000000 07 02 00 656e64";
    assert_eq!(hex(&pair.b.bytes(pair.now)), expected.replace(' ', ""));
}

#[test]
fn golden_bytes_of_a_cancel() {
    // P-F1
    let mut pair = Pair::up();
    let id = pair.open(Kind::Call, b"");
    let request = cancel_by(1, std::time::Duration::from_millis(1500));
    pair.a.core.caller(id).unwrap().cancel(pair.now, request);
    let cancel = pair.a.bytes(pair.now);
    let expected = "13000000 09 02 07 6163746f722031 01 01 00 01 80cab5ee01";
    assert_eq!(hex(&cancel), expected.replace(' ', ""));
    pair.b.core.handle_input(pair.now, &cancel);
    assert_eq!(hex(&pair.b.bytes(pair.now)), "020000000a02");
    pair.b.core.callee(id).unwrap().finish(Terminal::Cancelled(asked_by(1)));
    let expected = "0e000000 08 02 01 07 6163746f722031 01 01 00";
    assert_eq!(hex(&pair.b.bytes(pair.now)), expected.replace(' ', ""));
    pair.a.core.goodbye(pair.now, hatchery_proto::GoodbyeReason::Leaving);
    assert_eq!(hex(&pair.a.bytes(pair.now)), "030000000e0000");
}

#[test]
fn varints_are_as_short_as_can_be() {
    // P-F4
    for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, number);
        assert_eq!(take_varint(&bytes), Some((number, &[][..])));
        for cut in 0..bytes.len() {
            assert_eq!(take_varint(&bytes[..cut]), None, "cut short");
        }
    }
    assert_eq!(take_varint(&[0x80, 0]), None, "longer than canonical");
    assert_eq!(take_varint(&[0xff; 11]), None, "over 64 bits");
    assert_eq!(take_varint(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2]), None);
}

#[test]
fn every_split_gives_the_same_frames() {
    // P-F4
    let mut bytes = Vec::new();
    for size in [0, 1, 5, 300] {
        put_frame(&mut bytes, Tag::Yield, DialogId::new(300), MORE, |out| {
            out.extend(std::iter::repeat_n(7, size));
        });
    }
    for size in 1..bytes.len() {
        let mut deframer = Deframer::new(1024);
        let mut sizes = Vec::new();
        for mut piece in bytes.chunks(size) {
            while let Some(frame) = deframer.next(&mut piece).unwrap() {
                assert_eq!((frame.tag, frame.flags), (Some(Tag::Yield), MORE));
                assert_eq!(frame.dialog, DialogId::new(300));
                sizes.push(frame.body.len());
            }
        }
        assert_eq!(sizes, [0, 1, 5, 300]);
    }
}

#[test]
fn what_is_no_frame_is_refused_by_rule() {
    // P-F1, P-F2, P-F4
    let refused = |bytes: &[u8]| {
        let mut input = bytes;
        Deframer::new(1024).next(&mut input).expect_err("no frame").rule
    };
    assert_eq!(refused(&[0, 0, 0, 0]), "P-F4", "empty");
    assert_eq!(refused(&[1, 4, 0, 0]), "P-F2", "one byte too many, before any of it came");
    assert_eq!(refused(&[0xff; 4]), "P-F2");
    assert_eq!(refused(&[2, 0, 0, 0, 0x7f, 0]), "P-F1", "unknown below 0x80");
    assert_eq!(refused(&[1, 0, 0, 0, 6]), "P-F4", "no dialog number");
    assert_eq!(refused(&[3, 0, 0, 0, 6, 0x80, 0]), "P-F4", "longer than canonical");
    assert_eq!(refused(&[2, 0, 0, 0, 5, 0]), "P-F4", "no flags");
    assert_eq!(refused(&[3, 0, 0, 0, 5, 0, 4]), "P-F4", "unknown flags");
    let mut input: &[u8] = &[2, 0, 0, 0, 0x80, 0];
    let mut deframer = Deframer::new(1024);
    assert_eq!(deframer.next(&mut input).unwrap().unwrap().tag, None, "skipped");
}
