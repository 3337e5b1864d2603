//! What a tree logs (LOG): on which line of whose, at which level, of which target; by which filter; in
//! which span. The programs are scenes of `logged`.

use std::collections::BTreeSet;

use hatchery_tests::programs::{Finished, Program};

/// A scene, with what is to be in its environment.
fn scene(name: &str, variables: &[(&str, &str)]) -> Finished {
    let program = Program::bin("logged").arg(name).env_remove("HATCHERY_LOG");
    let program = variables.iter().fold(program, |program, (name, value)| program.env(name, value));
    let finished = program.run();
    finished.assert_nothing_left();
    finished
}

fn filtered(name: &str, filter: &str) -> Vec<Line> {
    let finished = scene(name, &[("FILTER", filter)]);
    finished.assert_exit(0);
    lines(&finished)
}

/// A line of the library's own.
#[derive(Debug)]
struct Line {
    level: String,
    actor: String,
    pid: u32,
    task: String,
    /// The innermost span's fields, where it is in one.
    span: Option<String>,
    target: String,
    says: String,
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let (time, rest) = line.split_once(' ')?;
        assert!(time.starts_with("20") && time.ends_with('Z'), "{line}");
        let (level, rest) = rest.trim_start().split_once(' ')?;
        let (who, rest) = rest.split_once(' ')?;
        let (actor, pid) = who.strip_suffix(']')?.split_once('[')?;
        let (task, rest) = rest.split_once(' ')?;
        let (span, rest) = match rest.strip_prefix("task{") {
            Some(rest) => rest.rsplit_once("}: ").map(|(span, rest)| (Some(span), rest))?,
            None => (None, rest),
        };
        let (target, says) = rest.split_once(": ")?;
        Some(Self {
            level: level.to_owned(),
            actor: actor.to_owned(),
            pid: pid.parse().ok()?,
            task: task.to_owned(),
            span: span.map(ToOwned::to_owned),
            target: target.to_owned(),
            says: says.to_owned(),
        })
    }

    /// A field of its span.
    fn field(&self, name: &str) -> Option<&str> {
        let fields = self.span.as_deref()?.rsplit("task{").next()?;
        fields.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    }
}

/// All of them: each line that was written is one.
fn lines(finished: &Finished) -> Vec<Line> {
    let err = finished.err();
    let parse = |line| Line::parse(line).unwrap_or_else(|| panic!("{line}\n{finished}"));
    err.lines().map(parse).collect()
}

fn who_says<'a>(lines: &'a [Line], what: &str) -> Vec<&'a str> {
    let said = lines.iter().filter(|line| line.says.starts_with(what));
    said.map(|line| line.actor.as_str()).collect()
}

const ALL: [&str; 3] = ["root", "actor-1", "actor-0"];

#[test]
fn log_02_a_filter_is_inherited_by_the_whole_tree_and_overridden_for_what_is_below_one() {
    assert!(scene("says", &[]).err().is_empty());
    let info = filtered("says", "logged=info");
    assert_eq!(who_says(&info, "speaks of it"), ALL);
    assert!(who_says(&info, "speaks more").is_empty(), "{info:?}");
    assert_eq!(who_says(&filtered("says", "logged=debug"), "speaks more of it"), ALL);
    let finished = scene("says", &[("FILTER", "logged=info"), ("CHILD", "logged=debug")]);
    assert_eq!(who_says(&lines(&finished), "speaks of it"), ALL);
    assert_eq!(who_says(&lines(&finished), "speaks more of it"), ALL[1..]);
    let finished = scene("says", &[("FILTER", "logged=debug"), ("CHILD", "off")]);
    assert_eq!(who_says(&lines(&finished), "speaks of it"), ["root"]);
    // A root that logs nothing may have an actor that does.
    let finished = scene("says", &[("CHILD", "logged=info")]);
    assert_eq!(who_says(&lines(&finished), "speaks of it"), ALL[1..]);
}

#[test]
fn log_02_the_environment_wins_over_options_and_builders() {
    let env = ("HATCHERY_LOG", "logged=debug");
    for others in [&[][..], &[("FILTER", "off")], &[("FILTER", "logged=info"), ("CHILD", "off")]] {
        let finished = scene("says", &[others, &[env]].concat());
        finished.assert_exit(0);
        assert_eq!(who_says(&lines(&finished), "speaks more of it"), ALL, "{finished}");
    }
    // One that says nothing is none.
    let finished = scene("says", &[("FILTER", "logged=info"), ("HATCHERY_LOG", "")]);
    assert_eq!(who_says(&lines(&finished), "speaks of it"), ALL);
    // Set for one actor, it wins in that one, and below it.
    let finished = scene("says", &[("CHILD", "off"), ("SAYS", "logged=debug")]);
    assert_eq!(who_says(&lines(&finished), "speaks more of it"), ALL[1..]);
}

#[test]
fn log_02_a_filter_that_makes_no_sense_is_an_error_at_the_root_and_a_warning_in_a_child() {
    for variables in [("FILTER", "logged=loud"), ("HATCHERY_LOG", "logged=loud")] {
        let finished = scene("says", &[variables]);
        finished.assert_exit(1);
        assert!(finished.out().contains("the log filter `logged=loud`"), "{finished}");
        assert!(finished.out().contains("such as `warn,"), "{finished}");
        let of_variable = finished.out().contains("of the variable HATCHERY_LOG");
        assert_eq!(of_variable, variables.0 == "HATCHERY_LOG", "{finished}");
    }
    // It goes on as its parent says, and says so where that lets it.
    let said = [("FILTER", "info,logged=info"), ("SAYS", "logged=loud")];
    let finished = scene("says", &said);
    finished.assert_exit(0);
    let said = lines(&finished);
    assert_eq!(who_says(&said, "speaks of it"), ALL);
    let told: Vec<_> = said.iter().filter(|line| line.says.contains("logged=loud")).collect();
    assert!(told.iter().all(|line| line.level == "WARN"), "{told:?}");
    assert_eq!(told.iter().map(|line| &line.actor).collect::<Vec<_>>(), ALL[1..]);
    // Or, where that says nothing, so that it can be read.
    let finished = scene("says", &[("SAYS", "logged=loud")]);
    assert_eq!(lines(&finished).len(), 2, "{finished}");
}

#[test]
fn log_02_a_filter_changes_while_the_actor_runs_and_in_that_one_alone() {
    let finished = scene("changes", &[("FILTER", "logged=info")]);
    finished.assert_exit(0);
    let said: Vec<_> =
        lines(&finished).into_iter().filter(|line| line.target == "logged").collect();
    let said: Vec<_> = said.iter().map(|line| line.says.as_str()).collect();
    assert_eq!(said, ["first", "second", "second, more of it", "third", "third, more of it"]);
    assert!(finished.out().contains("the log filter `hatchery=loud`"), "{finished}");
}

#[test]
fn log_02_a_further_root_of_a_process_logs_as_its_own_options_say() {
    let finished = scene("second", &[("FILTER", "logged=info")]);
    finished.assert_exit(0);
    let said = lines(&finished);
    let said = said.iter().filter(|line| line.target == "logged");
    let said: Vec<_> = said.map(|line| (line.actor.as_str(), line.says.as_str())).collect();
    assert_eq!(said, [("root", "the first speaks"), ("third", "the third speaks")]);
}

#[test]
fn log_04_each_line_names_the_actor_its_process_and_the_task() {
    let said = filtered("says", "trace");
    let pids: BTreeSet<_> = said.iter().map(|line| (&line.actor, line.pid)).collect();
    // Until it is told its name, an actor has no filter; and each has one process.
    assert_eq!(pids.len(), 3, "{pids:?}");
    assert_eq!(pids.iter().map(|(_, pid)| pid).collect::<BTreeSet<_>>().len(), 3);
    for line in &said {
        let wanted = match (line.actor.as_str(), line.target.as_str()) {
            ("root", "logged") => "main",
            (_, "logged") => "logged::says_and_asks",
            _ => continue,
        };
        assert_eq!(line.task, wanted, "{line:?}");
    }
    // A task that a task has started speaks for it, too.
    assert_eq!(who_says(&said, "a task of it speaks"), ALL[..2]);
}

#[test]
fn log_01_each_target_is_filtered_alone() {
    for (target, level, says) in [
        ("hatchery::transport", "TRACE", &["frame", "has greeted", "the link is closed"][..]),
        (
            "hatchery::runtime",
            "DEBUG",
            &["a task begins", "a task has ended", "teardown", "a step"],
        ),
    ] {
        let said = filtered("says", &format!("{target}=trace"));
        assert!(said.iter().all(|line| line.target == target), "{said:?}");
        for says in says {
            let one = said.iter().find(|line| line.says.starts_with(says));
            assert_eq!(one.map(|line| line.level.as_str()), Some(level), "{says} {said:?}");
        }
        // At the level above there is none of it.
        let above = if level == "TRACE" { "debug" } else { "info" };
        let quiet = filtered("says", &format!("{target}={above}"));
        assert!(quiet.iter().all(|line| line.level != level), "{quiet:?}");
    }
    assert!(filtered("says", "off").is_empty());
}

#[test]
fn log_01_frames_are_shown_each_once_and_the_link_is_what_it_was() {
    let finished = scene("stream", &[("FILTER", "hatchery::transport=trace")]);
    finished.assert_exit(0);
    assert_eq!(finished.out(), "1000 values\n");
    let said = lines(&finished);
    // At both ends, there and back.
    for way in ["sent", "received"] {
        for actor in ["root", "echo"] {
            let of = said.iter().filter(|line| line.actor == actor);
            let shown = of.filter(|line| line.says.contains(&format!("{way} Yield of")));
            assert_eq!(shown.count(), 1000, "{way} {actor}");
        }
    }
    let unknown = said.iter().filter(|line| line.says.contains("not greeted")).count();
    assert!(unknown <= 4, "whoever has greeted is named: {unknown}");
}

#[test]
fn log_04_a_cancel_is_a_warning_and_a_failure_an_error() {
    let cancelled = filtered("cancelled", "hatchery::cancel=info");
    assert!(cancelled.iter().any(|line| line.says.starts_with("a nursery was cancelled")));
    assert!(cancelled.iter().all(|line| line.level == "WARN"), "{cancelled:?}");
    let failed = filtered("failed", "hatchery::cancel=info");
    let [line] = &failed[..] else { panic!("{failed:?}") };
    assert_eq!((line.level.as_str(), line.actor.as_str()), ("ERROR", "actor"));
    assert!(line.says.contains("it has failed"), "{line:?}");
    assert_eq!(line.task, "logged::fails");
}

#[test]
fn log_04_a_cancel_that_is_absorbed_prints_nothing() {
    assert!(filtered("absorbed", "info,hatchery::runtime=warn").is_empty());
}

/// Of each actor what its first line of the program's own is in: trace, span and parent.
fn spans(said: &[Line]) -> Vec<(&str, &str, Option<&str>)> {
    let of = |actor: &&str| {
        let mut own = said.iter().filter(|line| line.actor == *actor && line.target == "logged");
        let line = own.next().unwrap_or_else(|| panic!("{actor} {said:?}"));
        let field = |name| line.field(name).map(|value| value.trim_matches('"'));
        (field("trace_id").unwrap(), field("span_id").unwrap(), field("parent_id"))
    };
    ALL.iter().map(of).collect()
}

const SPANS: &str = "logged=info,hatchery::runtime=debug";

#[test]
fn log_04_a_call_through_three_actors_is_one_trace_and_each_span_is_below_its_callers() {
    let said = filtered("says", SPANS);
    let [root, middle, leaf] = spans(&said)[..] else { panic!("{said:?}") };
    assert_eq!((root.0.len(), root.1.len(), root.2), (32, 16, None));
    assert_eq!((middle.0, middle.2), (root.0, Some(root.1)));
    assert_eq!((leaf.0, leaf.2), (root.0, Some(middle.1)));
    assert_eq!([root.1, middle.1, leaf.1].iter().collect::<BTreeSet<_>>().len(), 3);
    // What a task of the task says is in the same span.
    for line in said.iter().filter(|line| line.says.starts_with("a task of it speaks")) {
        let span = line.field("span_id").unwrap().trim_matches('"');
        assert_eq!(span, if line.actor == "root" { root.1 } else { middle.1 });
    }
}

#[test]
fn log_04_a_trace_of_the_users_own_wins_and_is_what_spans_are_of() {
    let finished = scene("traced", &[("FILTER", SPANS), ("TRACED", "yes")]);
    finished.assert_exit(0);
    let said = lines(&finished);
    let [_, middle, leaf] = spans(&said)[..] else { panic!("{said:?}") };
    for one in [middle, leaf] {
        assert_eq!(one.0, "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(one.2, Some("00f067aa0ba902b7"), "what the user has set travels as it is");
    }
}

#[test]
fn log_04_an_actor_that_logs_nothing_hands_on_what_its_own_actors_log_by() {
    let finished = scene("quiet-middle", &[("FILTER", SPANS)]);
    finished.assert_exit(0);
    let said = lines(&finished);
    let of = |actor: &str| {
        let line = said.iter().find(|line| line.actor == actor && line.target == "logged").unwrap();
        [line.field("trace_id"), line.field("span_id"), line.field("parent_id")]
            .map(|field| field.map(|field| field.trim_matches('"').to_owned()))
    };
    assert!(!said.iter().any(|line| line.actor == "middle"), "{finished}");
    let ([trace, span, _], [same, _, parent]) = (of("root"), of("leaf"));
    assert_eq!((trace, span), (same, parent));
}

#[test]
fn log_04_a_call_of_an_actor_by_itself_is_below_the_span_of_whoever_asks() {
    let said = filtered("itself", SPANS);
    let line = said.iter().find(|line| line.says.starts_with("speaks of it below=0")).unwrap();
    let spans: Vec<_> = line.span.as_deref().unwrap().split("}: task{").collect();
    let [caller, own] = spans[..] else { panic!("{line:?}") };
    let id = |span: &str, name: &str| {
        let mut fields = span.split(' ');
        fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('=').map(str::to_owned))
    };
    assert_eq!(id(caller, "endpoint").as_deref(), Some("\"main\""));
    assert_eq!(id(own, "parent_id"), id(caller, "span_id"));
    assert_eq!(id(own, "trace_id"), id(caller, "trace_id"));
}
