//! Mirrors of what alarms are on the wire and in the journal, and of why something was not done.

use utoipa::{IntoResponses, ToSchema};

use super::super::problem::ProblemBody;

/// What a person may do; each role may also do what those before it may.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub(in super::super) enum Role {
    Viewer,
    Operator,
    Administrator,
}

/// One alarm. The same as on MQTT.
#[derive(ToSchema)]
pub(in super::super) struct Alert {
    /// The message version, 1.
    version: u8,
    /// Which alarm: `<rule>.<target with dots>.<ms since 1970 when it was raised>`.
    id: String,
    /// Grows with every change of any alarm; of two messages about one alarm the higher one holds.
    number: u64,
    /// The centre's clock at this change.
    #[schema(format = DateTime)]
    as_of: String,
    status: AlertStatus,
    /// The drill's name, where it is one.
    #[schema(nullable = false)]
    exercise: Option<String>,
    /// The rule that raised it.
    rule: String,
    severity: Severity,
    /// `nation`, `region/<code>`, `hospital/<hospital>` or `hospital/<hospital>/<ward>`.
    target: String,
    /// The target's name.
    name: String,
    /// The code of the region that it lies in; none for the nation.
    #[schema(nullable = false)]
    region: Option<String>,
    /// The care types that it is about; none means all together.
    care: Vec<super::Care>,
    /// What is the matter, in one line.
    headline: String,
    /// What is expected of the reader.
    response: String,
    /// What was measured.
    measure: String,
    /// Its unit.
    unit: String,
    /// The value at this change; null where it is unknown.
    #[schema(required)]
    value: Option<f64>,
    state: AlarmState,
    /// Why it is not put before operators, where it is not.
    #[schema(nullable = false)]
    hidden: Option<Hidden>,
    /// When it was raised.
    #[schema(format = DateTime)]
    raised_at: String,
    /// When it was acknowledged.
    #[schema(format = DateTime, required)]
    acknowledged_at: Option<String>,
    /// When its condition ended.
    #[schema(format = DateTime, required)]
    cleared_at: Option<String>,
}

/// How bad it is, rising.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum Severity {
    /// Worth knowing in office hours.
    Notice,
    /// Somebody should look within the hour.
    Warning,
    /// Somebody should act now.
    Severe,
    /// The nation or a region has to act together, now.
    Critical,
}

/// Whether it is meant.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum AlertStatus {
    Actual,
    Exercise,
    Test,
}

/// Where an alarm stands in its life (ISA-18.2).
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum AlarmState {
    ActiveUnacknowledged,
    ActiveAcknowledged,
    ClearedUnacknowledged,
    Closed,
}

/// Why an open alarm is not put before operators.
#[derive(ToSchema)]
struct Hidden {
    kind: HiddenKind,
    /// When it comes back from the shelf by itself.
    #[schema(format = DateTime, nullable = false)]
    until: Option<String>,
    /// What suppresses it: the alarm that says it already, or what makes it needless.
    #[schema(nullable = false)]
    by: Option<String>,
}

/// By what it is hidden.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum HiddenKind {
    Shelved,
    Suppressed,
    OutOfService,
}

/// Which kind of message a change is (CAP 1.2, `msgType`).
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Message {
    /// The first that receivers hear of it, or the first since it was hidden.
    Alert,
    /// It stands, and something about it changed.
    Update,
    /// It is over, or hidden.
    Cancel,
}

/// Data of the event `alert`.
#[derive(ToSchema)]
pub(in super::super) struct AlertNews {
    message: Message,
    #[serde(flatten)]
    alert: Alert,
}

/// What receivers were told.
#[derive(ToSchema)]
struct Told {
    message: Message,
    alert: Alert,
}

/// One line of the journal: what was done, and what belongs to that.
#[derive(ToSchema)]
pub(in super::super) struct JournalEntry {
    /// Grows by one an entry, from 1.
    number: u64,
    /// The centre's clock.
    #[schema(format = DateTime)]
    at: String,
    /// `centre`, or `operator:<name>`; only for those with a token.
    #[schema(nullable = false)]
    by: Option<String>,
    act: Act,
    /// Why, in the words of whoever did it; only for those with a token.
    #[schema(nullable = false)]
    why: Option<String>,
    /// What receivers were told for it.
    #[schema(nullable = false)]
    said: Option<Told>,
    /// Which alarm it is about.
    #[schema(nullable = false)]
    alarm: Option<String>,
    /// Which point, as `<rule>@<target>`.
    #[schema(nullable = false)]
    point: Option<String>,
    /// The value then; null where it is unknown.
    value: Option<f64>,
    /// Of `cleared`: why its condition ended.
    #[schema(nullable = false)]
    ending: Option<Ending>,
    /// Of `suppressed` and `raised`: what says it already.
    #[schema(nullable = false)]
    suppressed_by: Option<String>,
    /// Of `shelved` and `exercise_began`: until when.
    #[schema(format = DateTime, nullable = false)]
    until: Option<String>,
    /// Of `declared`: for what.
    #[schema(nullable = false)]
    scope: Option<String>,
    /// Of `declared`: the level; null takes it back.
    level: Option<String>,
    /// Of `raised` the target's name, of a drill what it is called.
    #[schema(nullable = false)]
    name: Option<String>,
    /// Of `rules_loaded`: how many.
    #[schema(nullable = false)]
    rules: Option<u64>,
    /// Of `rules_loaded`: SHA-256 of their text, in hex.
    #[schema(nullable = false)]
    digest: Option<String>,
    /// Of `raised`, as in an Alert; so are the following.
    #[schema(nullable = false)]
    severity: Option<Severity>,
    #[schema(nullable = false)]
    headline: Option<String>,
    #[schema(nullable = false)]
    response: Option<String>,
    #[schema(nullable = false)]
    measure: Option<String>,
    #[schema(nullable = false)]
    unit: Option<String>,
    #[schema(nullable = false)]
    care: Option<Vec<super::Care>>,
    /// Of `moved` too: where its hospital lies now.
    #[schema(nullable = false)]
    region: Option<String>,
    /// Whether it stays after its condition ended, until somebody acknowledges it.
    #[schema(nullable = false)]
    latch: Option<bool>,
    #[schema(nullable = false)]
    status: Option<AlertStatus>,
    /// The drill that it belongs to.
    #[schema(nullable = false)]
    exercise: Option<String>,
}

/// Why an alarm's condition ended.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Ending {
    Condition,
    Withdrawn,
}

/// What was done.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
enum Act {
    Raised,
    Returned,
    Cleared,
    Acknowledged,
    Commented,
    Suppressed,
    Released,
    Moved,
    Shelved,
    Unshelved,
    RemovedFromService,
    ReturnedToService,
    Declared,
    ExerciseBegan,
    ExerciseEnded,
    RulesLoaded,
}

/// The rules in force.
#[derive(ToSchema)]
pub(in super::super) struct Rules {
    /// Each rule, as in the rules file.
    #[schema(rename = "rules")]
    each: Vec<Rule>,
    /// The zone whose clock says which hour of the day it is.
    #[serde(rename = "time-zone")]
    time_zone: String,
    /// SHA-256 of the rules file, in hex.
    digest: String,
}

/// A rule: what is measured where, when that is an alarm, when it is over, and what to do about it.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
struct Rule {
    name: String,
    title: String,
    /// `nation`, `region`, `hospital` or `ward`.
    scope: String,
    /// Left out where it is about all care types together.
    #[schema(nullable = false)]
    care: Option<Vec<String>>,
    measure: String,
    /// The rule whose alarms are counted.
    #[schema(nullable = false)]
    of: Option<String>,
    /// How far it looks back.
    #[schema(nullable = false, example = "3h")]
    over: Option<String>,
    #[schema(nullable = false)]
    above_usual: Option<bool>,
    raise: Condition,
    /// Dips below the raise threshold that are shorter do not end the wait.
    bridge: String,
    clear: Condition,
    #[schema(nullable = false)]
    outlook: Option<RuleOutlook>,
    min_beds: u16,
    min_staffed: u32,
    min_coverage: f64,
    severity: String,
    response: String,
    latch: bool,
    #[schema(nullable = false)]
    inhibited_by: Option<Vec<String>>,
    #[schema(nullable = false)]
    quiet_while_declared: Option<String>,
}

/// A threshold, and how long it must be passed.
#[derive(ToSchema)]
struct Condition {
    at: f64,
    #[schema(rename = "for", example = "30m")]
    hold: String,
}

/// What a rule makes of the coming hours.
#[derive(ToSchema)]
struct RuleOutlook {
    margin: f64,
    near: f64,
}

/// Why something was not done; `error` says which.
#[derive(IntoResponses)]
pub(in super::super) enum NotDone {
    /// The body, a time in it or the missing reason is wrong.
    #[response(status = 400)]
    Wrong(#[to_schema] ProblemBody),
    /// No token, or none that is in force.
    #[response(status = 401)]
    NoToken(#[to_schema] ProblemBody),
    /// The token's holder has not the role for it.
    #[response(status = 403)]
    Role(#[to_schema] ProblemBody),
    /// There is no such alarm, point or scope.
    #[response(status = 404)]
    Unknown(#[to_schema] ProblemBody),
    /// It stands so already, or something else does.
    #[response(status = 409)]
    Conflict(#[to_schema] ProblemBody),
    /// The body is larger than 8 KiB.
    #[response(status = 413)]
    TooLarge(#[to_schema] ProblemBody),
    /// The body is not called JSON.
    #[response(status = 415)]
    NotJson(#[to_schema] ProblemBody),
    /// It could not be made durable.
    #[response(status = 503)]
    NotDurable(#[to_schema] ProblemBody),
}
