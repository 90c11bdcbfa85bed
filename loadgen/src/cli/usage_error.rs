//! The errors of the parser of the command line, each in a line that says what to write instead.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// The error of these words, and where the flags of `command` are explained.
pub(super) fn line(error: &clap::Error, words: &[OsString], command: Option<&str>) -> String {
    let text = negative_value(error, words)
        .or_else(|| missing(error, command))
        .unwrap_or_else(|| folded(&error.render().to_string()));
    let command = command.map(|name| format!("{name} ")).unwrap_or_default();
    format!("{text}; see 'loadgen {command}--help'")
}

/// A negative number after a flag, which the parser takes for another flag.
fn negative_value(error: &clap::Error, words: &[OsString]) -> Option<String> {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let pair =
        words.windows(2).filter(|_| error.kind() == ErrorKind::UnknownArgument).find(|pair| {
            let is_number = |c: char| c.is_ascii_digit() || c == '.';
            pair[0].starts_with('-')
                && pair[1].strip_prefix('-').is_some_and(|v| v.starts_with(is_number))
        })?;
    Some(format!("{} {}: the value must be positive", pair[0], pair[1]))
}

/// What a command needs and was not given, with an example.
fn missing(error: &clap::Error, command: Option<&str>) -> Option<String> {
    let found = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::Strings(names)) => names.join(", "),
        Some(ContextValue::String(name)) => name.clone(),
        _ => return None,
    };
    let example = match command? {
        "compare" => "give two results: loadgen compare A B",
        "merge" => "give two results or more: loadgen merge A B --out DIR",
        "report" => "name a result: loadgen report DIR",
        "sweep" => "name what varies and a directory: loadgen sweep --var rate=5k,10k --out DIR",
        _ => return None,
    };
    match error.kind() {
        ErrorKind::MissingRequiredArgument => Some(format!("missing: {found}; {example}")),
        ErrorKind::TooFewValues => Some(format!("{found} has too few values; {example}")),
        _ => None,
    }
}

/// Joins the paragraphs of the parser's message: the error and the tips, without the usage summary.
fn folded(message: &str) -> String {
    let lines = message.lines().map(str::trim);
    let kept: Vec<&str> = lines
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"))
        // A flag that does not exist is hardly ever meant as a value.
        .filter(|line| !line.is_empty() && !line.starts_with("tip: to pass "))
        .map(|line| line.strip_prefix("error: ").unwrap_or(line))
        .collect();
    kept.join("; ")
}

#[cfg(test)]
mod tests {
    use crate::cli::parse;

    fn refusal(words: &str) -> String {
        let words = words.split(' ');
        parse(words).unwrap_err().to_string()
    }

    #[test]
    fn what_is_missing_is_named_with_an_example() {
        for (words, said) in [
            ("loadgen compare a", "missing: <B>; give two results: loadgen compare A B; see"),
            ("loadgen compare", "missing: <A>, <B>; give two results"),
            ("loadgen merge a b", "loadgen merge A B --out DIR"),
            ("loadgen merge a --out c", "give two results or more: loadgen merge A B"),
            ("loadgen report", "missing: <DIR>; name a result: loadgen report DIR"),
            ("loadgen sweep --out d", "missing: --var <VAR>; name what varies"),
        ] {
            assert!(refusal(words).contains(said), "{words}: {}", refusal(words));
        }
    }

    #[test]
    fn a_negative_number_is_no_unknown_flag() {
        for (words, said) in [
            ("loadgen run --rate -5", "--rate -5: the value must be positive; see"),
            ("loadgen run -q --rate -5k", "--rate -5k: the value must be positive"),
            ("loadgen run --duration -.5s -q", "--duration -.5s: the value must be positive"),
            ("loadgen run -c -5", "-c -5: the value must be positive"),
            ("loadgen run --rate=-5", "a rate must be positive"),
        ] {
            let text = refusal(words);
            assert!(text.contains(said) && !text.contains("'-- "), "{words}: {text}");
        }
        let unknown = refusal("loadgen run -x 5");
        assert_eq!(unknown, "unexpected argument '-x' found; see 'loadgen run --help'");
    }

    #[test]
    fn an_error_points_to_the_help_of_its_command() {
        assert!(refusal("loadgen run --no-such").ends_with("; see 'loadgen run --help'"));
        assert!(refusal("loadgen sweep").ends_with("; see 'loadgen sweep --help'"));
        assert!(refusal("loadgen walk").ends_with("; see 'loadgen --help'"));
    }
}
