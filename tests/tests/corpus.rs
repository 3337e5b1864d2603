//! The fuzz targets on a stable compiler: every committed input again, inputs that are made up here,
//! and an honest conversation with something wrong in it.

use std::fs;
use std::path::PathBuf;

use hatchery_tests::build::workspace;
use hatchery_tests::hostile::{TARGETS, Target};
use proptest::collection::vec;
use proptest::prelude::{any, proptest};

fn target(name: &str) -> Target {
    TARGETS.iter().find(|(known, _)| *known == name).expect("a target").1
}

fn entries(folder: &str) -> Vec<PathBuf> {
    let folder = workspace().join("fuzz").join(folder);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

#[test]
fn every_committed_input_is_harmless() {
    for (name, target) in TARGETS {
        let inputs = entries(&format!("corpus/{name}"));
        assert!(!inputs.is_empty(), "{name} has a corpus");
        for input in inputs {
            println!("{}", input.display());
            target(&fs::read(&input).unwrap());
        }
    }
}

#[test]
fn every_target_is_replayed() {
    let mut targets = entries("fuzz_targets");
    targets.iter_mut().for_each(|path| *path = path.file_stem().unwrap().into());
    assert_eq!(targets, TARGETS.map(|(name, _)| PathBuf::from(name)));
}

proptest! {
    #[test]
    fn p_f4_no_bytes_break_the_deframer(bytes in vec(any::<u8>(), 0..2000)) {
        target("deframer")(&bytes);
    }

    #[test]
    fn p_f4_no_bytes_break_a_body(bytes in vec(any::<u8>(), 0..200)) {
        target("bodies")(&bytes);
    }

    #[test]
    fn p_a1_no_instructions_break_a_connection(bytes in vec(any::<u8>(), 0..2000)) {
        target("connection")(&bytes);
    }

    #[test]
    fn p_d4_no_schedule_breaks_a_pair(bytes in vec(any::<u8>(), 0..1000)) {
        target("pair")(&bytes);
    }

    #[test]
    fn p_l1_no_bytes_break_a_greeting(bytes in vec(any::<u8>(), 0..200)) {
        target("greeting")(&bytes);
    }

    #[test]
    fn p_f3_no_report_breaks_its_limits(bytes in vec(any::<u8>(), 0..1000)) {
        target("reports")(&bytes);
    }

    #[test]
    fn p_r2_no_calls_part_a_registrar_from_its_model(bytes in vec(any::<u8>(), 0..300)) {
        target("registrar")(&bytes);
    }

    #[test]
    fn p_r7_no_calls_part_a_table_of_links_from_its_model(bytes in vec(any::<u8>(), 0..300)) {
        target("peers")(&bytes);
    }

    #[test]
    fn p_t2_no_calls_part_a_terminals_lock_from_its_model(bytes in vec(any::<u8>(), 0..300)) {
        target("tty")(&bytes);
    }

    #[test]
    fn p_t1_no_dice_break_a_world(bytes in vec(any::<u8>(), 0..300)) {
        target("world")(&bytes);
    }
}
