//! What users can rely on in logs: the rows that no test has in its name, and why.
//!
//! | row | shown by, or why there is nothing to show |
//! | --- | --- |
//! | LOG-03 | there are no loggers to be named: an event has a target |
//! | LOG-05 | nothing is imported; what a start costs is measured beside its limit |
//! | LOG-06 | each example has a test that runs it to its end and looks after what it leaves |

use hatchery_tests::rows::{Group, complaints, sources};

const GROUPS: &[Group] = &[Group { name: "LOG", last: 6, others: &[], file: "behaviours_logs.rs" }];

#[test]
fn every_behaviour_of_logs_is_accounted_for() {
    let wrong = complaints(GROUPS, &sources());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
