//! The server under test: the command line that starts it, or its process id.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::Target;

/// Placeholder of the target in a command line.
const ADDRESS: &str = "{addr}";

/// Which process serves the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerSource {
    Command(ServerCommand),
    Pid(u32),
}

impl ServerSource {
    /// The command, if the loader starts the server.
    pub(crate) fn command(&self) -> Option<String> {
        match self {
            Self::Command(command) => Some(command.to_string()),
            Self::Pid(_) => None,
        }
    }
}

/// A command line that starts a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerCommand {
    /// The text as given.
    text: String,
    /// The program and its arguments; never empty.
    words: Vec<String>,
}

impl ServerCommand {
    /// The program and its arguments, `{addr}` in them replaced by the target's text.
    pub(crate) fn words(&self, target: &Target) -> Vec<String> {
        let address = target.to_string();
        self.words.iter().map(|word| word.replace(ADDRESS, &address)).collect()
    }

    /// Whether `{name}` appears in the command.
    pub(crate) fn mentions(&self, name: &str) -> bool {
        let place = format!("{{{name}}}");
        self.words.iter().any(|word| word.contains(&place))
    }

    /// The same command with `{name}` replaced by `value`; a value never becomes two words.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let place = format!("{{{name}}}");
        let words = self.words.iter().map(|word| word.replace(&place, value)).collect();
        Self { text: self.text.replace(&place, value), words }
    }
}

impl FromStr for ServerCommand {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match shlex::split(text) {
            Some(words) if words.is_empty() => Err("there is no program in it".to_owned()),
            Some(words) => Ok(Self { text: text.to_owned(), words }),
            None => Err(format!("{text:?} cannot be split into words; is a quote open?")),
        }
    }
}

impl fmt::Display for ServerCommand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Where a server answers with its metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MetricsAddress {
    /// `HOST:PORT`, and the path there.
    Tcp { authority: String, path: String },
    /// A unix socket, whose path of metrics is `/metrics`.
    Unix(PathBuf),
}

/// The path where metrics usually are.
const METRICS_PATH: &str = "/metrics";

impl MetricsAddress {
    /// The path of the request.
    pub(crate) fn path(&self) -> &str {
        match self {
            Self::Tcp { path, .. } => path,
            Self::Unix(_) => METRICS_PATH,
        }
    }

    /// The value of the header `Host`.
    pub(crate) fn host(&self) -> &str {
        match self {
            Self::Tcp { authority, .. } => authority,
            Self::Unix(_) => "localhost",
        }
    }
}

impl FromStr for MetricsAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path {
                "" => Err("a path is missing, write unix:/path".to_owned()),
                path => Ok(Self::Unix(path.into())),
            };
        }
        let rest = text.strip_prefix("http://").unwrap_or(text);
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let port = authority.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        let has_port = port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0));
        let is_plain = rest.bytes().all(|byte| byte.is_ascii_graphic());
        if !has_port || !is_plain {
            return Err(format!(
                "'{text}' is no address of metrics; write HOST:PORT, http://HOST:PORT/PATH or \
                 unix:/path"
            ));
        }
        let path = if matches!(path, "" | "/") { METRICS_PATH } else { path };
        Ok(Self::Tcp { authority: authority.to_owned(), path: path.to_owned() })
    }
}

impl fmt::Display for MetricsAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { authority, path } => write!(formatter, "http://{authority}{path}"),
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_an_address_a_path_or_the_usual_one() {
        let of = |text: &str| text.parse::<MetricsAddress>().map(|address| address.to_string());
        for text in ["127.0.0.1:9100", "http://127.0.0.1:9100", "127.0.0.1:9100/"] {
            assert_eq!(of(text).unwrap(), "http://127.0.0.1:9100/metrics");
        }
        assert_eq!(of("http://[::1]:80/a?b=c").unwrap(), "http://[::1]:80/a?b=c");
        assert_eq!(of("unix:/run/admin").unwrap(), "unix:/run/admin");
        for wrong in ["", "unix:", "host", ":80", "host:0", "https://h:1/", "h:1/a b", "h:1/\r\n"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    fn command(text: &str) -> ServerCommand {
        text.parse().unwrap()
    }

    fn words(text: &str) -> Vec<String> {
        command(text).words(&Target::Tcp("[::1]:80".to_owned()))
    }

    #[test]
    fn a_command_is_split_as_a_shell_would_and_nothing_is_expanded() {
        assert_eq!(words(r#"echo 'a b' "c d" e\ f $HOME"#), ["echo", "a b", "c d", "e f", "$HOME"]);
    }

    #[test]
    fn what_cannot_be_split_is_refused() {
        assert!("serve 'a b".parse::<ServerCommand>().unwrap_err().contains("quote"));
        assert!("  ".parse::<ServerCommand>().unwrap_err().contains("no program"));
    }

    #[test]
    fn the_target_is_filled_in_wherever_it_is_named() {
        assert_eq!(words("s --listen={addr} {addr}"), ["s", "--listen=[::1]:80", "[::1]:80"]);
        let unix = Target::Unix("/run/my echo.sock".into());
        assert_eq!(command("s {addr}").words(&unix), ["s", "unix:/run/my echo.sock"]);
    }

    #[test]
    fn a_value_with_spaces_stays_one_word() {
        let command = command("s --workers {w}").with("w", "1 2");
        assert_eq!(command.words(&Target::Unix("/s".into())), ["s", "--workers", "1 2"]);
        assert_eq!(command.to_string(), "s --workers 1 2");
    }

    #[test]
    fn a_name_is_mentioned_only_in_braces() {
        assert!(command("s --workers={w}").mentions("w"));
        assert!(!command("s --w w").mentions("w"));
    }
}
