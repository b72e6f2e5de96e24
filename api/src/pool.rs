//! The connections of the API. Nothing is done on them but in transactions, and each transaction says for itself all
//! that it needs of its connection: so they may go through a pooler that gives one out for a transaction at a time.
//! A statement ends before its request does (25 seconds of 30), so that the database works on nothing for nobody.

use engine::transaction;
use sqlx::{PgPool, Postgres, Transaction};

/// Connections of the API.
#[derive(Clone)]
pub struct Pool {
    connections: PgPool,
    beginning: &'static str,
}

impl Pool {
    /// Connections to Postgres itself, each of which was opened as `salesos_api`.
    pub fn direct(connections: PgPool) -> Self {
        Self { connections, beginning: "begin; set local statement_timeout = '25s'" }
    }

    /// Connections through a transaction pooler that knows each client's prepared statements; as whom they were opened
    /// may take the role `salesos_api`.
    pub fn pooled(connections: PgPool) -> Self {
        let beginning = "begin; set local role salesos_api; set local statement_timeout = '25s'; \
            set local idle_in_transaction_session_timeout = '1min'";
        Self { connections, beginning }
    }

    /// The same through a pooler that knows nothing of prepared statements: those that another client left behind are
    /// forgotten before this one's may take their names. The connections keep no statement themselves.
    pub fn pooled_forgetting(connections: PgPool) -> Self {
        let beginning = "begin; deallocate all; set local role salesos_api; \
            set local statement_timeout = '25s'; set local idle_in_transaction_session_timeout = '1min'";
        Self { connections, beginning }
    }

    /// A transaction under these settings, which are statements of the caller's own text; it sees nobody's rows where
    /// they name no customer.
    pub(crate) async fn begin(
        &self,
        settings: &str,
    ) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let separator = if settings.is_empty() { "" } else { "; " };
        let beginning = format!("{}{separator}{settings}", self.beginning);
        transaction::begin_with(&self.connections, beginning).await
    }
}
