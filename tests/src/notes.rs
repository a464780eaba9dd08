//! Lists of events that tests are about: the smallest that can go wrong.

use common::{Carries, Event, Key, QueueGroup, StreamName, Version, schemars, subjects};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is written.
pub const NOTES: StreamName = StreamName::new("NOTES");
/// What is due later.
pub const REMINDERS: StreamName = StreamName::scheduled("REMINDERS");

/// Who writes.
pub const WRITERS: QueueGroup = QueueGroup::new("writers");
/// Who reads.
pub const READERS: QueueGroup = QueueGroup::new("readers");
/// Who reads the same for another reason.
pub const ARCHIVE: QueueGroup = QueueGroup::new("archive");

subjects! {
    /// One channel, two groups.
    pub enum Notes {
        /// Somebody wrote something.
        Written: "note:written", stream NOTES, from WRITERS, to [READERS, ARCHIVE];
    }
}

subjects! {
    /// The list of the next release: a channel more, and a later form.
    pub enum NextNotes {
        /// Somebody wrote something.
        NextWritten: "note:written", stream NOTES, from WRITERS, to [READERS, ARCHIVE];
        /// Somebody took it back.
        Erased: "note:erased", stream NOTES, from WRITERS, to [READERS];
    }
}

subjects! {
    /// A channel whose events may be published for later.
    pub enum Reminders {
        /// It is time.
        Due: "reminder:due", stream REMINDERS, from WRITERS, to [READERS];
    }
}

/// Somebody wrote something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Written {
    /// The key: what it was written on.
    pub page: String,
    /// The number of the line on its page.
    pub line: u32,
    /// What was written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

impl Written {
    /// A line on a page.
    #[must_use]
    pub fn on(page: &str, line: u32) -> Self {
        Self {
            page: page.to_owned(),
            line,
            text: String::new(),
        }
    }
}

impl Event for Written {
    const SUBJECT: Notes = Notes::Written;

    fn key(&self) -> Key {
        Key::new(self.page.as_str()).unwrap()
    }
}

/// Somebody wrote something, in the second form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NextWritten {
    /// The key: what it was written on.
    pub page: String,
    /// The number of the line on its page.
    pub line: u32,
    /// Who wrote it.
    pub author: String,
}

impl From<Written> for NextWritten {
    fn from(past: Written) -> Self {
        Self {
            page: past.page,
            line: past.line,
            author: "nobody".to_owned(),
        }
    }
}

impl Event for NextWritten {
    const SUBJECT: NextNotes = NextNotes::NextWritten;
    const PAST: &'static [common::Past<Self>] = &[common::Past::of::<Written>()];

    fn key(&self) -> Key {
        Key::new(self.page.as_str()).unwrap()
    }
}

/// Somebody took it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Erased {
    /// The key: what it was written on.
    pub page: String,
}

impl Event for Erased {
    const SUBJECT: NextNotes = NextNotes::Erased;

    fn key(&self) -> Key {
        Key::new(self.page.as_str()).unwrap()
    }
}

/// It is time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Due {
    /// The key: what is to be remembered.
    pub reminder: String,
}

impl Due {
    /// Time for something.
    #[must_use]
    pub fn of(reminder: &str) -> Self {
        Self {
            reminder: reminder.to_owned(),
        }
    }
}

impl Event for Due {
    const SUBJECT: Reminders = Reminders::Due;

    fn key(&self) -> Key {
        Key::new(self.reminder.as_str()).unwrap()
    }
}

/// What happens to accounts.
pub const ACCOUNTS: StreamName = StreamName::new("ACCOUNTS");
/// Who keeps the balances.
pub const BANK: QueueGroup = QueueGroup::new("bank");

subjects! {
    /// Every channel of a bank.
    pub enum Bank {
        /// Money came in.
        Deposited: "account:deposited", stream ACCOUNTS, from BANK, to [BANK];
        /// Money went out.
        Withdrawn: "account:withdrawn", stream ACCOUNTS, from BANK, to [BANK];
    }
}

/// Money came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deposited {
    /// The key.
    pub account: String,
    /// Which change of the account this is.
    pub version: Version,
    /// How much.
    pub amount: i64,
}

/// Money went out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Withdrawn {
    /// The key.
    pub account: String,
    /// Which change of the account this is.
    pub version: Version,
    /// How much.
    pub amount: i64,
}

/// # Panics
///
/// If there is no such version.
#[must_use]
fn version(number: u64) -> Version {
    Version::try_from(number).unwrap()
}

impl Deposited {
    /// The change of that number.
    #[must_use]
    pub fn of(account: &str, number: u64, amount: i64) -> Self {
        Self {
            account: account.to_owned(),
            version: version(number),
            amount,
        }
    }
}

impl Withdrawn {
    /// The change of that number.
    #[must_use]
    pub fn of(account: &str, number: u64, amount: i64) -> Self {
        Self {
            account: account.to_owned(),
            version: version(number),
            amount,
        }
    }
}

impl Event for Deposited {
    const SUBJECT: Bank = Bank::Deposited;
    const VERSION: Option<fn(&Self) -> Version> = Some(|event| event.version);
    const CARRIES: Carries = Carries::Change;

    fn key(&self) -> Key {
        Key::new(self.account.as_str()).unwrap()
    }
}

impl Event for Withdrawn {
    const SUBJECT: Bank = Bank::Withdrawn;
    const VERSION: Option<fn(&Self) -> Version> = Some(|event| event.version);
    const CARRIES: Carries = Carries::Change;

    fn key(&self) -> Key {
        Key::new(self.account.as_str()).unwrap()
    }
}
