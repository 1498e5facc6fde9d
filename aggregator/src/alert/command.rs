//! What operators may do, and why it was not done. Pure.
//!
//! In: a command with the name of whoever gives it and their reason. Out: acts for the journal, or a
//! [`Declined`] that says what is wrong. Whether the person may give it is decided at the door
//! (`http`); whether it makes sense now is decided here, against the book.

use std::time::Duration;

use tokio::sync::oneshot;
use vardpuls_shared::alert::{AlertId, Declared, Target};
use vardpuls_shared::clock::Time;
use vardpuls_shared::topic::Scope;

use super::entry::{Entry, PointKey};

/// The longest time on the shelf: longer is out of service (ISA-18.2 asks for a limit, not for a number).
pub const LONGEST_SHELF: Duration = Duration::from_hours(72);

/// The longest drill.
pub const LONGEST_EXERCISE: Duration = Duration::from_hours(24);

/// What an operator wants.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// I have seen it.
    Acknowledge(AlertId),
    /// A remark for those who read it later; the remark is the reason.
    Comment(AlertId),
    /// Set aside until then.
    Shelve(PointKey, Time),
    /// Back from the shelf.
    Unshelve(PointKey),
    /// Out of service.
    RemoveFromService(PointKey),
    /// Back in service.
    ReturnToService(PointKey),
    /// Declares a level, or takes it back.
    Declare(Scope, Option<Declared>),
    /// Begins a drill that ends by itself at that time.
    BeginExercise {
        /// What it is called.
        name: String,
        /// When it ends by itself.
        until: Time,
    },
    /// Ends the drill.
    EndExercise,
    /// Raises a rule's alarm at a target as part of the drill.
    RaiseInExercise {
        /// The rule.
        rule: String,
        /// Where.
        target: Target,
    },
}

/// A command on its way to whoever keeps the book; the answer comes once it is durable.
#[derive(Debug)]
pub struct Order {
    /// What.
    pub command: Command,
    /// Whose token it was.
    pub operator: String,
    /// Why, in their words.
    pub why: Option<String>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Result<Vec<Entry>, Declined>>,
}

/// Why a command was not carried out. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
    /// No open alarm has that name.
    #[error("no open alarm is called {0}; /api/v1/alerts lists them")]
    NoSuchAlarm(AlertId),
    /// It was acknowledged before.
    #[error("{0} was acknowledged already")]
    AlreadyAcknowledged(AlertId),
    /// No rule applies there.
    #[error("no rule {0}: /api/v1/alerts/rules lists the rules and what they apply to")]
    NoSuchPoint(PointKey),
    /// It is not on the shelf.
    #[error("{0} is not shelved")]
    NotShelved(PointKey),
    /// The time on the shelf is in the past or too long.
    #[error("shelve for at most {} hours from now, until a time that is still to come; longer is out of service", LONGEST_SHELF.as_secs() / 3600)]
    ShelfTime,
    /// It is in service.
    #[error("{0} is in service")]
    InService(PointKey),
    /// It is out of service already.
    #[error("{0} is out of service already")]
    OutOfService(PointKey),
    /// There is no such scope.
    #[error("there is no scope {0} here")]
    NoSuchScope(Scope),
    /// Stages are the nation's, the three others are the regions' and hospitals'.
    #[error(
        "{level} cannot be declared for {scope}: the nation has stage-1 to stage-9, regions and hospitals have stab, forstarkning and katastrof"
    )]
    Unfitting {
        /// The level.
        level: Declared,
        /// The scope.
        scope: Scope,
    },
    /// It stands so already.
    #[error("nothing to change: {0} stands so already")]
    Unchanged(Scope),
    /// A drill is on.
    #[error("the exercise {0:?} is on; end it first")]
    ExerciseOn(String),
    /// No drill is on.
    #[error("no exercise is on")]
    NoExercise,
    /// The drill's end is in the past or too far away.
    #[error("an exercise has a name and ends at a time that is still to come, at most {} hours from now", LONGEST_EXERCISE.as_secs() / 3600)]
    ExerciseTime,
    /// Its alarm stands already.
    #[error("the alarm of {0} stands already")]
    Standing(PointKey),
    /// A reason is asked for.
    #[error("say why: this asks for a reason")]
    NoReason,
    /// The centre is going down, or its store fails: whether it was done is shown by the alarm itself.
    #[error("the centre could not make it durable; look at the alarm before you try again")]
    NotDurable,
}
