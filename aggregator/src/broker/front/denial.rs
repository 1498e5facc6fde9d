//! Why the front turns a client away or ends its connection: each reason has a name, which is counted
//! in `/metrics`, logged, and answered with the CONNACK code that fits where there is one.

use std::fmt;

/// Why a client was turned away, or its connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denial {
    /// Every seat of the listener is taken.
    Full,
    /// Every seat that one address may have is taken.
    AddressFull,
    /// It had not logged in when others came and there was no more room for those who have not.
    CrowdedOut,
    /// It did not log in within the time.
    Handshake,
    /// The TLS handshake failed.
    Tls,
    /// Its bytes are no MQTT.
    Malformed,
    /// It speaks another version than MQTT 3.1.1.
    Version,
    /// A packet is larger than any that it may send.
    Oversize,
    /// A packet that the centre has no use for: quality of service 2, a second CONNECT, or one that only a
    /// broker sends.
    Packet,
    /// A client id outside 1 to 64 of `A-Za-z0-9_-`.
    ClientId,
    /// It wants a connection without keep alive, or with one of more than ten minutes.
    KeepAlive,
    /// It has neither a certificate nor a login.
    LoginMissing,
    /// Nobody has this login, or its time is over, or the password is wrong.
    LoginWrong,
    /// The certificate or login is not the client id's.
    OtherName,
    /// It published on, or gave a last will for, a topic that is not its own.
    Topic,
    /// It subscribed to a topic that it may not read.
    Filter,
    /// It subscribed to more different topics than anybody needs.
    Filters,
    /// Its login was taken away or its certificate is not believed any more.
    Revoked,
    /// Nothing came from it for one and a half times its keep alive.
    Silent,
    /// It did not take what it had asked for.
    NotReading,
    /// The embedded broker did not answer.
    Broker,
}

impl Denial {
    /// All of them.
    pub const ALL: [Denial; 21] = [
        Denial::Full,
        Denial::AddressFull,
        Denial::CrowdedOut,
        Denial::Handshake,
        Denial::Tls,
        Denial::Malformed,
        Denial::Version,
        Denial::Oversize,
        Denial::Packet,
        Denial::ClientId,
        Denial::KeepAlive,
        Denial::LoginMissing,
        Denial::LoginWrong,
        Denial::OtherName,
        Denial::Topic,
        Denial::Filter,
        Denial::Filters,
        Denial::Revoked,
        Denial::Silent,
        Denial::NotReading,
        Denial::Broker,
    ];

    /// The name, for metrics and logs.
    pub fn name(self) -> &'static str {
        match self {
            Denial::Full => "full",
            Denial::AddressFull => "address_full",
            Denial::CrowdedOut => "crowded_out",
            Denial::Handshake => "handshake",
            Denial::Tls => "tls",
            Denial::Malformed => "malformed",
            Denial::Version => "version",
            Denial::Oversize => "oversize",
            Denial::Packet => "packet",
            Denial::ClientId => "client_id",
            Denial::KeepAlive => "keep_alive",
            Denial::LoginMissing => "login_missing",
            Denial::LoginWrong => "login_wrong",
            Denial::OtherName => "other_name",
            Denial::Topic => "topic",
            Denial::Filter => "filter",
            Denial::Filters => "filters",
            Denial::Revoked => "revoked",
            Denial::Silent => "silent",
            Denial::NotReading => "not_reading",
            Denial::Broker => "broker",
        }
    }

    /// What the operator of the client, or of the centre, can do.
    pub fn remedy(self) -> &'static str {
        match self {
            Denial::Full => "raise broker.network.max-connections, or find out who holds them",
            Denial::AddressFull => "raise broker.network.max-per-address if many hospitals share this address",
            Denial::CrowdedOut | Denial::Handshake => "no client of ours is that slow; many of these are a flood",
            Denial::Tls => "the client must speak TLS 1.2 or 1.3, trust our CA, and have a certificate that we believe",
            Denial::Malformed | Denial::Packet => "let the client speak plain MQTT 3.1.1 with QoS 0 or 1",
            Denial::Version => "set the client to MQTT 3.1.1",
            Denial::Oversize => "no message of ours is that large",
            Denial::ClientId => "use 1 to 64 of A-Za-z0-9_- as client id",
            Denial::KeepAlive => "set the client's keep alive to between 1 and 600 seconds",
            Denial::LoginMissing => "give the client a certificate or a login",
            Denial::LoginWrong => "make a new login with: vardpuls-aggregator login NAME",
            Denial::OtherName => "client id, user name and certificate must be the same name",
            Denial::Topic => "a login publishes its own roster, report and presence only",
            Denial::Filter => "a login reads its own receipt, feeds and alerts only",
            Denial::Filters => "use wildcards",
            Denial::Revoked => "give the client a new login or certificate if it shall come back",
            Denial::Silent => "look at the network between; the client comes back by itself",
            Denial::NotReading => "the client or its network is too slow for what it subscribed to",
            Denial::Broker => "the watchdog restarts the centre if this lasts",
        }
    }

    /// The CONNACK return code (MQTT 3.1.1, 3.2.2.3) for a client that is turned away at its CONNECT.
    pub(super) fn code(self) -> u8 {
        match self {
            Denial::Version => 1,
            Denial::ClientId => 2,
            Denial::LoginWrong => 4,
            Denial::LoginMissing | Denial::OtherName | Denial::Topic | Denial::KeepAlive | Denial::Revoked => 5,
            _ => 3,
        }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
