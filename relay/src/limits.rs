//! Every limit of a relay, in one place.

/// What one relay grants. [`Limits::default`] is meant for a small machine serving some thousand people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at once. A connection costs some 40 KB with its streams.
    pub connections_max: usize,
    /// Most connections of one address (of an IPv6 address, its first 64 bits), handshakes included. This machine's
    /// own are not counted.
    pub address_connections_max: usize,
    /// Most bytes of messages on their way at once, in and out, over all connections; three quarters of them for
    /// what comes in, an eighth for what goes to one connection.
    pub message_bytes_max: usize,
    /// Most bytes of envelopes, messages and chunks at rest.
    pub total_bytes_max: u64,
    /// Longest an envelope or chunk is kept, in seconds (B16: 30 days).
    pub retention_secs: u32,
    /// Most bytes of envelopes that lie under one tag (B12: 20 MB).
    pub tag_bytes_max: u64,
    /// Most bytes of envelopes one tag takes in a UTC day, expired ones included (B12: 100 MB).
    pub tag_day_bytes_max: u64,
    /// Most mailboxes.
    pub mailboxes_max: usize,
    /// Most messages waiting in one mailbox (SMP has 128).
    pub mailbox_messages_max: usize,
    /// Longest a mailbox message is kept, in seconds (SMP: 21 days).
    pub mailbox_retention_secs: u32,
    /// A mailbox whose owner did not ask for so long is closed, in seconds (90 days).
    pub mailbox_idle_secs: u32,
    /// Most uploads of one chunk, each with its own deletion token (A7).
    pub chunk_tokens_max: usize,
    /// Most tags one connection subscribes to.
    pub subscriptions_max: usize,
    /// Most mailboxes one connection subscribes to.
    pub mailbox_subscriptions_max: usize,
    /// Most sealed bytes pushed to one connection and not yet acked.
    pub outbound_bytes_max: usize,
    /// Most pushes to one connection not yet acked.
    pub outbound_pushes_max: usize,
    /// Requests per second of one connection, and how many may come at once.
    pub requests: Rate,
    /// Uploaded bytes per second of one connection, and how many may come at once (B12: 8 MiB).
    pub upload_bytes: Rate,
    /// New mailboxes per second of one connection, and how many may come at once.
    pub new_mailboxes: Rate,
}

/// A token bucket: so much per second, and so much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How fast it fills.
    pub per_sec: u64,
    /// How much it holds.
    pub burst: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            // Guess: a school or a provider behind one address.
            address_connections_max: 256,
            message_bytes_max: 256 << 20,
            total_bytes_max: 10 << 30,
            retention_secs: 30 * 24 * 3600,
            tag_bytes_max: 20_000_000,
            // Heads and questions live for an hour: a day of them is several times what lies there.
            tag_day_bytes_max: 100_000_000,
            mailboxes_max: 100_000,
            mailbox_messages_max: 128,
            mailbox_retention_secs: 21 * 24 * 3600,
            mailbox_idle_secs: 90 * 24 * 3600,
            chunk_tokens_max: 64,
            subscriptions_max: 4_096,
            mailbox_subscriptions_max: 256,
            outbound_bytes_max: 4 << 20,
            outbound_pushes_max: 256,
            // Guess, unmeasured: above the 400 messages a second of goal G13.
            requests: Rate {
                per_sec: 1_000,
                burst: 4_000,
            },
            upload_bytes: Rate {
                per_sec: 4 << 20,
                burst: 8 << 20,
            },
            new_mailboxes: Rate {
                per_sec: 1,
                burst: 64,
            },
        }
    }
}
