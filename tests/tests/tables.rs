//! The transition tables of the core: the drawings in `proto/tables` are those of the code, and no
//! table has a row that nothing leads to or that contradicts another.
//!
//! `REWRITE=1 cargo test -p hatchery-tests --test tables` draws them again.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::PathBuf;

use hatchery_proto::actor::shutdown::Stage;
use hatchery_proto::dialog::tables::{Cancel, Half, Life};
use hatchery_proto::nursery::Phase;
use hatchery_proto::nursery::ladder::State;
use hatchery_tests::build::workspace;
use hatchery_tests::tidy;

/// A machine, with its states and steps as numbers.
struct Table {
    file: &'static str,
    dot: String,
    first: usize,
    states: Vec<&'static str>,
    steps: usize,
    rows: Vec<(usize, usize, usize)>,
    after: Box<dyn Fn(usize, usize) -> Option<usize>>,
}

macro_rules! table {
    ($file:literal, $machine:ty) => {{
        let state = |wanted| <$machine>::STATES.iter().position(|it| *it == wanted).unwrap();
        let step = |wanted| <$machine>::STEPS.iter().position(|it| *it == wanted).unwrap();
        Table {
            file: concat!($file, ".dot"),
            dot: <$machine>::dot(),
            first: state(<$machine>::default()),
            states: <$machine>::STATES.iter().map(|it| it.name()).collect(),
            steps: <$machine>::STEPS.len(),
            rows: <$machine>::ROWS
                .iter()
                .map(|row| (state(row.0), step(row.1), state(row.2)))
                .collect(),
            after: Box::new(move |from, on| {
                <$machine>::STATES[from].after(<$machine>::STEPS[on]).map(state)
            }),
        }
    }};
}

fn tables() -> Vec<Table> {
    vec![
        table!("dialog_cancel", Cancel),
        table!("dialog_half", Half),
        table!("dialog_life", Life),
        table!("ladder", State),
        table!("nursery", Phase),
        table!("shutdown", Stage),
    ]
}

fn folder() -> PathBuf {
    workspace().join("proto/tables")
}

#[test]
fn the_drawings_are_those_of_the_code() {
    let rewrite = env::var_os("REWRITE").is_some();
    for table in tables() {
        let path = folder().join(table.file);
        if rewrite {
            fs::write(&path, &table.dot).unwrap();
        }
        let drawn = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            drawn, table.dot,
            "{} is not as the code has it; see this test's head",
            table.file
        );
    }
}

#[test]
fn every_table_is_drawn_and_nothing_else() {
    let mut files: Vec<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, tables().iter().map(|table| table.file).collect::<Vec<_>>());
    // A new table in the code is missing above.
    let sources = tidy::sources(&workspace());
    let core = sources.iter().filter(|source| source.path.starts_with("proto/src/"));
    let declared = core.map(|source| {
        source.text.lines().filter(|line| line.trim_start().starts_with("pub machine ")).count()
    });
    assert_eq!(declared.sum::<usize>(), tables().len());
}

#[test]
fn every_pair_of_state_and_step_has_one_result_and_it_is_the_rows() {
    // P-A1: a table is total, what no row names is refused
    for table in tables() {
        let pairs: BTreeSet<_> = table.rows.iter().map(|(from, on, _)| (from, on)).collect();
        assert_eq!(pairs.len(), table.rows.len(), "{}: two rows for one pair", table.file);
        for from in 0..table.states.len() {
            for on in 0..table.steps {
                let row = table.rows.iter().find(|row| (row.0, row.1) == (from, on));
                assert_eq!((table.after)(from, on), row.map(|row| row.2), "{}", table.file);
            }
        }
    }
}

#[test]
fn every_state_is_reached_and_from_each_the_end_is() {
    // P-T1: no state is left upwards for good, none is stuck
    for table in tables() {
        let reached = closure(&[table.first], |at| successors(&table, at));
        assert_eq!(reached.len(), table.states.len(), "{}: {reached:?}", table.file);
        let ends: Vec<_> = (0..table.states.len())
            .filter(|at| successors(&table, *at).iter().all(|to| to == at))
            .collect();
        assert!(!ends.is_empty(), "{} has no end", table.file);
        let before = |at| table.rows.iter().filter(|row| row.2 == at).map(|row| row.0).collect();
        let ending = closure(&ends, before);
        assert_eq!(ending.len(), table.states.len(), "{}: {ending:?}", table.file);
    }
}

fn successors(table: &Table, at: usize) -> Vec<usize> {
    table.rows.iter().filter(|row| row.0 == at).map(|row| row.2).collect()
}

fn closure(from: &[usize], next: impl Fn(usize) -> Vec<usize>) -> BTreeSet<usize> {
    let mut known = BTreeSet::from_iter(from.iter().copied());
    let mut open = from.to_vec();
    while let Some(at) = open.pop() {
        open.extend(next(at).into_iter().filter(|to| known.insert(*to)));
    }
    known
}
