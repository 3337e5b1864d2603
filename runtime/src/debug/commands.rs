//! What can be said at a prompt. Nothing is done here.

/// What was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Where,
    /// Of this name, or all.
    Print(Option<String>),
    /// With the frames of the runtime or without.
    Backtrace(bool),
    Error,
    Tree,
    Tasks,
    Contexts,
    /// What this actor logs from here on.
    Log(String),
    CancelActor,
    CancelRoot,
    /// A debugger of native code, by its name.
    Attach(&'static str),
    Continue,
    Quit,
    Detach,
}

/// A command as people know it.
struct Known {
    names: &'static [&'static str],
    takes: &'static str,
    says: &'static str,
}

const fn known(names: &'static [&'static str], takes: &'static str, says: &'static str) -> Known {
    Known { names, takes, says }
}

const KNOWN: &[Known] = &[
    known(&["where", "w"], "", "where it is, with the source around"),
    known(&["print", "p"], "[NAME]", "a named value, or all"),
    known(&["backtrace", "bt"], "[all]", "how it came here; `all`: with the runtime's frames"),
    known(&["error", "e"], "", "the whole report, with the way it came"),
    known(&["tree"], "", "the actors of the tree, and what each waits for"),
    known(&["tasks"], "", "the tasks of this actor"),
    known(&["contexts"], "", "the open contexts of this actor"),
    known(&["log"], "FILTER", "what this actor logs: a level, or `target=level,…`"),
    known(&["cancel"], "[root]", "cancel this actor, or the whole tree, and leave the prompt"),
    known(&["gdb"], "", "lend the terminal to gdb, attached to this process"),
    known(&["lldb"], "", "the same with lldb"),
    known(&["continue", "c"], "", "leave the prompt; the task goes on, the error on its way"),
    known(&["quit", "q"], "", "leave the prompt; the task that is paused fails"),
    known(&["detach"], "", "continue, and let this actor ask no more"),
    known(&["help", "h", "?"], "", "this"),
];

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What `line` asks for; nothing where it is empty.
///
/// # Errors
/// What to say instead.
pub(crate) fn parse(line: &str) -> Result<Option<Command>, String> {
    let mut words = line.split_whitespace();
    let Some(word) = words.next() else { return Ok(None) };
    let argument = words.next();
    if words.next().is_some() {
        return Err(format!("`{word}` takes one word at most; `help` says which"));
    }
    let exact = KNOWN.iter().find(|known| known.names.contains(&word));
    let mut begun =
        KNOWN.iter().filter(|known| known.names.iter().any(|name| name.starts_with(word)));
    let known = match (exact, begun.next(), begun.next()) {
        (Some(known), ..) | (None, Some(known), None) => known,
        (None, Some(_), Some(_)) => {
            return Err(format!("`{word}` may be several; `help` lists them"));
        }
        (None, None, _) => return Err(format!("`{word}` is no command; `help` lists them")),
    };
    let name = known.names.first().copied().unwrap_or_default();
    let command = match (name, argument) {
        ("print", name) => Command::Print(name.map(str::to_owned)),
        ("backtrace", Some("all")) => Command::Backtrace(true),
        ("log", Some(filter)) => Command::Log(filter.to_owned()),
        ("cancel", Some("root")) => Command::CancelRoot,
        ("log", None) | (_, Some(_)) => {
            let takes = if known.takes.is_empty() { "nothing" } else { known.takes };
            return Err(format!("`{name}` takes {takes}"));
        }
        ("where", _) => Command::Where,
        ("backtrace", _) => Command::Backtrace(false),
        ("error", _) => Command::Error,
        ("tree", _) => Command::Tree,
        ("tasks", _) => Command::Tasks,
        ("contexts", _) => Command::Contexts,
        ("cancel", _) => Command::CancelActor,
        ("gdb", _) => Command::Attach("gdb"),
        ("lldb", _) => Command::Attach("lldb"),
        ("continue", _) => Command::Continue,
        ("quit", _) => Command::Quit,
        ("detach", _) => Command::Detach,
        _ => Command::Help,
    };
    Ok(Some(command))
}

/// All of them, a line each.
pub(crate) fn help() -> String {
    KNOWN.iter().fold(String::new(), |text, known| {
        let names = known.names.join(", ");
        let takes = format!("{names} {}", known.takes);
        format!("{text}  {takes:<22} {}\n", known.says)
    })
}

/// What `typed` may go on with: the rest of a word, all there are.
pub(crate) fn completions(typed: &str, values: &[&str]) -> Vec<String> {
    let rest = |word: &str, known: &mut dyn Iterator<Item = &str>| -> Vec<String> {
        known.filter_map(|name| name.strip_prefix(word)).map(str::to_owned).collect()
    };
    match typed.split_once(' ') {
        None => rest(typed, &mut KNOWN.iter().filter_map(|known| known.names.first().copied())),
        Some(("print" | "p", name)) => rest(name, &mut values.iter().copied()),
        Some(("cancel", name)) => rest(name, &mut ["root"].into_iter()),
        Some(("log", name)) => rest(name, &mut LEVELS.into_iter()),
        Some(("backtrace" | "bt", name)) => rest(name, &mut ["all"].into_iter()),
        Some(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_known_by_names_letters_and_beginnings() {
        for (line, command) in [
            ("c", Command::Continue),
            ("conti", Command::Continue),
            ("  quit ", Command::Quit),
            ("p", Command::Print(None)),
            ("print a", Command::Print(Some("a".into()))),
            ("bt all", Command::Backtrace(true)),
            ("back", Command::Backtrace(false)),
            ("log warn,a=debug", Command::Log("warn,a=debug".into())),
            ("cancel", Command::CancelActor),
            ("cancel root", Command::CancelRoot),
            ("?", Command::Help),
        ] {
            assert_eq!(parse(line), Ok(Some(command)), "{line}");
        }
        assert_eq!(parse("  "), Ok(None));
        for wrong in ["x", "co", "where now", "cancel twice", "quit root", "print a b", "log"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_command_is_in_the_help_and_parses() {
        let help = help();
        for known in KNOWN {
            for name in known.names {
                let line = if *name == "log" { "log warn" } else { name };
                assert!(matches!(parse(line), Ok(Some(_))), "{name}");
                assert!(help.contains(name), "{name}");
            }
        }
    }

    #[test]
    fn what_is_begun_is_completed() {
        assert_eq!(completions("wh", &[]), ["ere"]);
        assert_eq!(completions("co", &[]), ["ntexts", "ntinue"]);
        assert_eq!(completions("p c", &["count", "other"]), ["ount"]);
        assert_eq!(completions("cancel r", &[]), ["oot"]);
        assert_eq!(completions("log w", &[]), ["arn"]);
        assert!(completions("nothing x", &["x"]).is_empty());
    }
}
