//! What is printed when all cells have run.

use std::collections::BTreeMap;

use hatchery_tests::strike::{Action, Phase};

use crate::cells::{ACTIONS, Cell, SHAPES, SIDES, Side};

/// The cells that ran, each with whether it was green.
pub(crate) type Ran = BTreeMap<Cell, bool>;

/// Phase x action: how many cells were green, of so many.
pub(crate) fn print(ran: &Ran) {
    println!("green/ran, child + parent");
    print!("{:<16}", "phase");
    ACTIONS.iter().for_each(|action| print!("{:>11}", name(*action)));
    println!();
    for phase in Phase::ALL {
        print!("{:<16}", format!("{phase:?}"));
        for action in ACTIONS {
            let of = |side| {
                count(ran, |cell| (cell.phase, cell.action, cell.side) == (phase, action, side))
            };
            print!("{:>11}", format!("{}+{}", of(Side::Child), of(Side::Parent)));
        }
        println!();
    }
    println!("{:<16}comes with a registrar: not counted", "Registering");
    println!("\ngreen/ran, by side and shape");
    for side in SIDES {
        for shape in SHAPES {
            print!("{:<16}", format!("{side:?} {shape:?}"));
            for action in ACTIONS {
                let of = count(ran, |cell| {
                    (cell.side, cell.shape, cell.action) == (side, shape, action)
                });
                print!("{of:>11}");
            }
            println!();
        }
    }
    println!("\nleft out");
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    Cell::all().filter_map(Cell::left_out).for_each(|why| *reasons.entry(why).or_default() += 1);
    for (why, count) in reasons {
        println!("{count:>4} {why}");
    }
}

fn name(action: Action) -> String {
    match action {
        Action::Exit(code) => format!("Exit({code})"),
        other => format!("{other:?}"),
    }
}

/// `green/ran` of some; `-` where there are none.
fn count(ran: &Ran, is_one: impl Fn(&Cell) -> bool) -> String {
    let these: Vec<bool> = ran.iter().filter(|(cell, _)| is_one(cell)).map(|(_, is)| *is).collect();
    match these.len() {
        0 => "-".to_owned(),
        all => format!("{}/{all}", these.iter().filter(|is| **is).count()),
    }
}
