//! The tables a dialog is made of. They speak of caller and callee, never of local and remote.

use crate::table::table;

table! {
    /// The callee's task, from `Start` to its terminal (P-D2).
    pub machine Life by LifeStep starts Opening {
        Opening + Ack => Accepted;
        Opening + Finish => Done;
        Accepted + Started => Live;
        Accepted + Finish => Done;
        Live + Finish => Done;
        Opening + Lose => Done;
        Accepted + Lose => Done;
        Live + Lose => Done;
    }
    states {
        /// Asked for.
        Opening,
        /// Scheduled.
        Accepted,
        /// Started: streams may flow.
        Live,
        /// A terminal was sent, or the link ended.
        Done,
    }
    steps {
        /// `StartAck`.
        Ack,
        /// `Started`.
        Started,
        /// `Return` or `Error`.
        Finish,
        /// The link's end.
        Lose,
    }
}

table! {
    /// One direction of the stream (P-D7).
    pub machine Half by HalfStep starts Open {
        Open + Yield => Open;
        Open + Stop => Stopped;
        Open + Close => Closed;
        Stopped + Close => Stopped;
    }
    states {
        /// Values may flow.
        Open,
        /// Ended gracefully by its sender.
        Stopped,
        /// Ended with the dialog, or by a cancel.
        Closed,
    }
    steps {
        /// A value.
        Yield,
        /// A graceful end.
        Stop,
        /// The end of the dialog, or of its opener's interest.
        Close,
    }
}

table! {
    /// A request to cancel (P-C1).
    pub machine Cancel by CancelStep starts Idle {
        Idle + Ask => Asked;
        Asked + Ask => Asked;
        Asked + Ack => Acked;
        Acked + Ask => Acked;
        Acked + Ack => Acked;
        Idle + Finish => Settled;
        Asked + Finish => Settled;
        Acked + Finish => Settled;
    }
    states {
        /// Nobody has asked.
        Idle,
        /// Asked, not yet answered.
        Asked,
        /// Heard.
        Acked,
        /// The dialog is over.
        Settled,
    }
    steps {
        /// `Cancel`.
        Ask,
        /// `CancelAck`.
        Ack,
        /// The terminal, or the link's end.
        Finish,
    }
}
