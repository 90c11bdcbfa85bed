//! The classes of replies that have a latency distribution of their own.

/// The class of an HTTP status, or of a reply of Redis or memcached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ReplyClass {
    Http2xx,
    Http3xx,
    Http4xx,
    Http5xx,
    /// A status that HTTP does not define.
    HttpOther,
    /// A read that found a value.
    Hit,
    /// A read that found none.
    Miss,
    /// A command other than a read, executed.
    Executed,
    ErrorLine,
    /// A read that returned a value which it must not return.
    WrongValue,
}

impl ReplyClass {
    /// In the order of files and reports.
    const ALL: [Self; 10] = [
        Self::Http2xx,
        Self::Http3xx,
        Self::Http4xx,
        Self::Http5xx,
        Self::HttpOther,
        Self::Hit,
        Self::Miss,
        Self::Executed,
        Self::ErrorLine,
        Self::WrongValue,
    ];

    /// The class of a status.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            200..300 => Self::Http2xx,
            300..400 => Self::Http3xx,
            400..500 => Self::Http4xx,
            500..600 => Self::Http5xx,
            _ => Self::HttpOther,
        }
    }

    /// Its name in files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Http2xx => "2xx",
            Self::Http3xx => "3xx",
            Self::Http4xx => "4xx",
            Self::Http5xx => "5xx",
            Self::HttpOther => "other_status",
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Executed => "executed",
            Self::ErrorLine => "error_line",
            Self::WrongValue => "wrong_value",
        }
    }

    /// The class with this name in files.
    pub(crate) fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_is_found_by_its_name_and_every_status_has_one() {
        for class in ReplyClass::ALL {
            assert_eq!(ReplyClass::by_name(class.name()), Some(class));
        }
        assert_eq!(ReplyClass::by_name("1xx"), None);
        let names = [199, 200, 399, 404, 503, 600].map(|code| ReplyClass::of_status(code).name());
        assert_eq!(names, ["other_status", "2xx", "3xx", "4xx", "5xx", "other_status"]);
    }
}
