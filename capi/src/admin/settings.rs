//! The variables of the environment: `EVSHARD_ADMIN` and `EVSHARD_SLOW_CALLBACK_MS`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use crate::record::slow::SlowLimit;

const ADMIN: &str = "EVSHARD_ADMIN";
const SLOW: &str = "EVSHARD_SLOW_CALLBACK_MS";
/// A person notices a delay of a tenth of a second.
const SLOW_DEFAULT_MS: u64 = 100;

/// What the environment requests.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Where the pages are served; nowhere if it is `None`.
    pub(super) socket: Option<SocketPath>,
    pub(super) slow_limit: SlowLimit,
}

/// The path of a socket, in which `%p` stands for the process's id and `%e` for its name, as in
/// core(5).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SocketPath(Vec<Part>);

#[derive(Debug, PartialEq, Eq)]
enum Part {
    Bytes(Vec<u8>),
    Pid,
    Name,
}

impl Settings {
    /// The settings, and a warning for each value that says nothing. `None` if no variable is set.
    pub(super) fn read(get: impl Fn(&str) -> Option<OsString>) -> (Option<Self>, Vec<String>) {
        let mut warnings = Vec::new();
        let socket = get(ADMIN).and_then(|value| match SocketPath::parse(&value) {
            Ok(path) => Some(path),
            Err(why) => {
                warnings.push(format!("{ADMIN}={}: {why}", value.display()));
                None
            }
        });
        let slow_ms = get(SLOW).and_then(|value| {
            let ms = value.to_str().and_then(|text| text.parse::<u64>().ok());
            if ms.is_none_or(|ms| ms == 0) {
                warnings.push(format!(
                    "{SLOW}={}: set a number of milliseconds from 1 on",
                    value.display()
                ));
            }
            ms.filter(|ms| *ms > 0)
        });
        let slow_limit = SlowLimit {
            ns: slow_ms.unwrap_or(SLOW_DEFAULT_MS).saturating_mul(1_000_000),
            is_logged: slow_ms.is_some(),
        };
        let is_set = socket.is_some() || slow_ms.is_some();
        (is_set.then_some(Self { socket, slow_limit }), warnings)
    }
}

impl SocketPath {
    fn parse(value: &OsStr) -> Result<Self, String> {
        let path = value.as_bytes().strip_prefix(b"unix:").filter(|path| !path.is_empty());
        let path = path.ok_or("set unix: and the path of a socket, as unix:/tmp/%e.%p")?;
        let mut parts = Vec::new();
        let mut pieces = path.split(|byte| *byte == b'%');
        let mut bytes = pieces.next().unwrap_or_default().to_vec();
        while let Some(piece) = pieces.next() {
            let part = match piece.first() {
                Some(b'p') => Part::Pid,
                Some(b'e') => Part::Name,
                // An empty piece is between the two signs of `%%`.
                None => {
                    let next = pieces.next().ok_or("% stands at the end; write %% for a sign")?;
                    bytes.push(b'%');
                    bytes.extend(next);
                    continue;
                }
                Some(_) => return Err("% is followed by neither p, e nor %".to_owned()),
            };
            parts.extend([Part::Bytes(std::mem::take(&mut bytes)), part]);
            bytes.extend(&piece[1..]);
        }
        parts.push(Part::Bytes(bytes));
        Ok(Self(parts))
    }

    /// The path of this process.
    pub(super) fn of_process(&self, pid: u32, name: &str) -> PathBuf {
        let mut path = Vec::new();
        for part in &self.0 {
            match part {
                Part::Bytes(bytes) => path.extend(bytes),
                Part::Pid => path.extend(pid.to_string().bytes()),
                // A name may have a slash in it, which would name another folder.
                Part::Name => path.extend(name.replace('/', "!").bytes()),
            }
        }
        let path = PathBuf::from(OsString::from_vec(path));
        // The program may change its folder.
        std::path::absolute(&path).unwrap_or(path)
    }

    /// Whether each process has a path of its own.
    pub(super) fn has_pid(&self) -> bool {
        self.0.contains(&Part::Pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_of(value: &str) -> Result<String, String> {
        let path = SocketPath::parse(OsStr::new(value))?;
        Ok(path.of_process(42, "a/b").display().to_string())
    }

    #[test]
    fn a_path_has_the_id_and_the_name_of_the_process() {
        assert_eq!(path_of("unix:/run/a.sock"), Ok("/run/a.sock".to_owned()));
        assert_eq!(path_of("unix:/run/%e.%p.sock"), Ok("/run/a!b.42.sock".to_owned()));
        assert_eq!(path_of("unix:/run/%p%p%%"), Ok("/run/4242%".to_owned()));
        assert_eq!(path_of("unix:/run/%%p%%%%"), Ok("/run/%p%%".to_owned()));
        assert!(path_of("unix:a").unwrap().ends_with("/a"), "it is made absolute");
        for wrong in ["", "/run/a", "unix:", "unix:/a%", "unix:/a%n", "tcp:1"] {
            assert!(path_of(wrong).is_err(), "{wrong}");
        }
        let has_pid = |value: &str| SocketPath::parse(OsStr::new(value)).unwrap().has_pid();
        assert!(has_pid("unix:/run/%p") && !has_pid("unix:/run/%%p.%e"));
    }

    #[test]
    fn nothing_is_observed_unless_a_variable_says_so() {
        let read = |admin: Option<&str>, slow: Option<&str>| {
            Settings::read(|name| if name == ADMIN { admin } else { slow }.map(OsString::from))
        };
        assert_eq!(read(None, None), (None, Vec::new()));
        let (settings, warnings) = read(Some("unix:/a"), None);
        let default = SlowLimit { ns: 100_000_000, is_logged: false };
        assert_eq!((settings.unwrap().slow_limit, warnings.len()), (default, 0));
        let (settings, _) = read(None, Some("7"));
        let settings = settings.unwrap();
        assert_eq!(settings.socket, None);
        assert_eq!(settings.slow_limit, SlowLimit { ns: 7_000_000, is_logged: true });
        for wrong in ["0", "-1", "a", ""] {
            let (settings, warnings) = read(Some("a"), Some(wrong));
            assert_eq!((settings, warnings.len()), (None, 2), "{wrong}");
        }
    }
}
