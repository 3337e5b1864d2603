//! Frames: how they are cut out of bytes, and what is no frame. Their bytes are in `golden.rs`.

use hatchery_proto::wire::deframer::Deframer;
use hatchery_proto::wire::{MORE, Tag, put_frame, put_varint, take_varint};
use hatchery_proto::{DialogId, Kind};
use hatchery_tests::pair::Pair;

#[test]
fn p_f4_varints_are_as_short_as_can_be() {
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
fn p_f4_every_split_gives_the_same_frames() {
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
fn p_f1_what_is_no_frame_is_refused_by_rule() {
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

#[test]
fn p_f4_a_duration_with_over_a_second_of_nanoseconds_is_not_canonical() {
    // As many bytes as the canonical form: 0 s and 1.5 billion ns for 1 s and 0.5 billion.
    let mut pair = Pair::up();
    let id = pair.open(Kind::Call, b"");
    let mut cancel = Vec::new();
    put_frame(&mut cancel, Tag::Cancel, id, 0, |out| {
        out.extend_from_slice(b"\x01a\x01\x01\0");
        put_varint(out, 0);
        put_varint(out, 1_500_000_000);
    });
    pair.b.core.handle_input(pair.now, &cancel);
    assert_eq!(pair.b.broken(), Some("P-F4"));
}
