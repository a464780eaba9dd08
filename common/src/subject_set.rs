use std::fmt::{Debug, Display};
use std::hash::Hash;

use crate::event::Event;
use crate::name::{QueueGroup, StreamName};

/// A closed list of channels, made by [`subjects!`](crate::subjects).
///
/// The ticketing system's own list is [`Subjects`](crate::Subjects). Examples, tests and adopters make lists of their own.
pub trait SubjectSet: Copy + Eq + Hash + Debug + Display + Send + Sync + 'static {
    /// Every channel, in the order of the list.
    const ALL: &'static [Self];

    /// The channel's name, which is its event's type and the first token of the NATS subject.
    fn as_str(self) -> &'static str;

    /// The stream that stores the channel's events.
    fn stream(self) -> StreamName;

    /// The service that publishes.
    fn producer(self) -> QueueGroup;

    /// The queue groups that may listen.
    fn consumers(self) -> &'static [QueueGroup];

    /// Shows the channel's event type to `visitor`.
    fn visit(self, visitor: &mut impl EventVisitor);
}

/// Is shown an event type by [`SubjectSet::visit`]: how a list of values becomes a list of types.
pub trait EventVisitor {
    /// Is shown the type `E`.
    fn visit<E: Event>(&mut self);
}

/// An event type that stands on a list of subjects.
///
/// Implemented by [`subjects!`](crate::subjects) only: that is what makes a list closed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is on no list of subjects",
    label = "this event has no channel",
    note = "an event type exists only as a line of a `subjects!` list: add one, named as the type"
)]
#[doc(hidden)]
pub trait Listed: Sized {
    /// The list.
    type Subjects: SubjectSet;
    /// The line of the list.
    const LISTED_AS: Self::Subjects;
    /// The channel's name.
    const CHANNEL: &'static str;
    /// The stream that stores the events.
    const STREAM: StreamName;
    /// Who publishes.
    const PRODUCER: QueueGroup;
    /// Who may listen.
    const CONSUMERS: &'static [QueueGroup];
}

/// A name that is no channel of the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no channel; the list has {known}")]
pub struct UnknownSubject {
    name: String,
    known: String,
}

impl UnknownSubject {
    #[doc(hidden)]
    #[must_use]
    pub fn among<S: SubjectSet>(name: &str) -> Self {
        let known: Vec<_> = S::ALL.iter().map(|subject| subject.as_str()).collect();
        Self {
            name: name.to_owned(),
            known: known.join(", "),
        }
    }
}

/// Makes a closed list of channels, one line each.
///
/// A line is the event's type, the channel's name, the stream that stores it, the service that
/// publishes and the queue groups that may listen. The list becomes an enum with a variant per
/// line; a type that is on no list cannot be published or listened to, and two types cannot share a channel.
///
/// A channel's name is 1 to 64 characters of `a-z`, `0-9`, `:`, `_` and `-`: one token of a NATS subject.
///
/// ```
/// use common::{Event, Key, QueueGroup, StreamName, schemars, subjects};
/// use serde::{Deserialize, Serialize};
///
/// const LETTERS: StreamName = StreamName::new("LETTERS");
/// const POST_OFFICE: QueueGroup = QueueGroup::new("post-office");
/// const ARCHIVE: QueueGroup = QueueGroup::new("archive");
///
/// subjects! {
///     /// Every channel of the post.
///     pub enum Post {
///         /// A letter was handed in.
///         LetterPosted: "letter:posted", stream LETTERS, from POST_OFFICE, to [ARCHIVE];
///     }
/// }
///
/// /// A letter was handed in.
/// #[derive(Serialize, Deserialize, schemars::JsonSchema)]
/// pub struct LetterPosted {
///     id: Key,
/// }
///
/// impl Event for LetterPosted {
///     const SUBJECT: Post = Post::LetterPosted;
///
///     fn key(&self) -> Key {
///         self.id.clone()
///     }
/// }
///
/// assert_eq!("letter:posted".parse(), Ok(Post::LetterPosted));
/// ```
#[macro_export]
macro_rules! subjects {
    (
        $(#[$list_doc:meta])*
        $visibility:vis enum $list:ident {
            $(
                $(#[$doc:meta])*
                $event:ident : $channel:literal,
                stream $stream:expr,
                from $producer:expr,
                to [$($consumer:expr),* $(,)?];
            )+
        }
    ) => {
        $(#[$list_doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $visibility enum $list {
            $($(#[$doc])* $event,)+
        }

        impl $crate::SubjectSet for $list {
            const ALL: &'static [Self] = &[$(Self::$event),+];

            fn as_str(self) -> &'static str {
                match self {
                    $(Self::$event => $channel,)+
                }
            }

            fn stream(self) -> $crate::StreamName {
                match self {
                    $(Self::$event => $stream,)+
                }
            }

            fn producer(self) -> $crate::QueueGroup {
                match self {
                    $(Self::$event => $producer,)+
                }
            }

            fn consumers(self) -> &'static [$crate::QueueGroup] {
                match self {
                    $(Self::$event => <$event as $crate::__private::Listed>::CONSUMERS,)+
                }
            }

            fn visit(self, visitor: &mut impl $crate::EventVisitor) {
                match self {
                    $(Self::$event => visitor.visit::<$event>(),)+
                }
            }
        }

        impl ::core::fmt::Display for $list {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str($crate::SubjectSet::as_str(*self))
            }
        }

        impl ::core::str::FromStr for $list {
            type Err = $crate::UnknownSubject;

            fn from_str(name: &str) -> ::core::result::Result<Self, $crate::UnknownSubject> {
                match name {
                    $($channel => Ok(Self::$event),)+
                    _ => Err($crate::UnknownSubject::among::<Self>(name)),
                }
            }
        }

        $(
            impl $crate::__private::Listed for $event {
                type Subjects = $list;
                const LISTED_AS: $list = $list::$event;
                const CHANNEL: &'static str = $channel;
                const STREAM: $crate::StreamName = $stream;
                const PRODUCER: $crate::QueueGroup = $producer;
                const CONSUMERS: &'static [$crate::QueueGroup] = &[$($consumer),*];
            }

            const _: () = assert!(
                ::core::matches!(<$event as $crate::Event>::SUBJECT, $list::$event),
                ::core::concat!(
                    "`", ::core::stringify!($event), "` claims the subject of another event: its SUBJECT must be `",
                    ::core::stringify!($list), "::", ::core::stringify!($event), "`",
                ),
            );

            const _: () = assert!(
                $crate::__private::is_channel($channel),
                ::core::concat!(
                    "`", $channel, "` is no channel name: 1 to 64 characters of a-z, 0-9, `:`, `_` and `-`",
                ),
            );
        )+

        const _: () = assert!(
            $crate::__private::all_differ(&[$($channel),+]),
            "two lines of the list have the same channel name",
        );
    };
}

/// Whether the text is one token of a NATS subject in the alphabet of channel names.
#[doc(hidden)]
#[must_use]
pub const fn is_channel(text: &str) -> bool {
    let mut rest = text.as_bytes();
    if rest.is_empty() || rest.len() > 64 {
        return false;
    }
    while let [byte, tail @ ..] = rest {
        if !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b':' | b'_' | b'-') {
            return false;
        }
        rest = tail;
    }
    true
}

/// Whether no two of the names are the same.
#[doc(hidden)]
#[must_use]
pub const fn all_differ(names: &[&str]) -> bool {
    let mut left = names;
    while let [name, others @ ..] = left {
        let mut rest = others;
        while let [other, tail @ ..] = rest {
            if crate::name::same(name.as_bytes(), other.as_bytes()) {
                return false;
            }
            rest = tail;
        }
        left = others;
    }
    true
}
