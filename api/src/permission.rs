//! Who may do what: the one table of permissions.
//!
//! A route names one word of it in the document (`security`), the guard asks the table before the handler runs,
//! API keys carry the same words as their scopes, and `/docs` shows it. A role may do what its rank allows; which
//! rows it sees is row-level security's part (`crm.reaches` in the migrations).

use std::fmt::Write as _;

use crm::user::Role;

/// A permission.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Permission {
    /// `resource:action`.
    pub(crate) word: &'static str,
    /// The role of the lowest rank that has it.
    pub(crate) least: Role,
    /// What it allows.
    pub(crate) says: &'static str,
}

/// All permissions, by resource.
pub(crate) const TABLE: [Permission; 36] = [
    row("me:read", Role::Viewer, "who is logged in"),
    row("me:write", Role::Viewer, "one's own password and logins"),
    row("users:read", Role::Viewer, "users and teams"),
    row("users:write", Role::Admin, "invite users, change roles and teams, deactivate"),
    row("keys:read", Role::Admin, "API keys, never their secrets"),
    row("keys:write", Role::Admin, "make and revoke API keys"),
    row("audit:read", Role::Admin, "what was done to logins, roles and keys"),
    row("accounts:read", Role::Viewer, "accounts"),
    row("accounts:write", Role::Rep, "make, change, delete and restore accounts"),
    row("contacts:read", Role::Viewer, "contacts"),
    row("contacts:write", Role::Rep, "make, change, delete and restore contacts"),
    row("suppressions:read", Role::Viewer, "suppressed addresses and domains"),
    row("suppressions:write", Role::Manager, "suppress addresses and domains; remove suppressions"),
    row("imports:read", Role::Rep, "imports and the rows that they refused"),
    row("imports:write", Role::Manager, "import contacts from files"),
    row("erasures:read", Role::Admin, "certificates of erasures"),
    row("erasures:write", Role::Admin, "erase a person for good"),
    row("opportunities:read", Role::Viewer, "opportunities"),
    row("opportunities:write", Role::Rep, "make, move, change, delete and restore opportunities"),
    row("pipelines:read", Role::Viewer, "pipelines and their stages"),
    row("pipelines:write", Role::Admin, "make and change pipelines and their stages"),
    row("fields:read", Role::Viewer, "custom fields"),
    row("fields:write", Role::Admin, "make and change custom fields"),
    row("lists:read", Role::Viewer, "saved lists"),
    row("lists:write", Role::Rep, "save, change and take away lists"),
    row("webhooks:read", Role::Admin, "webhooks and what they were told, never their secrets"),
    row("webhooks:write", Role::Admin, "make, change, try and take away webhooks; tell them again"),
    row("sequences:read", Role::Viewer, "sequences, their versions and what they will do"),
    row("sequences:write", Role::Manager, "make, change, activate and pause sequences"),
    row("enrollments:read", Role::Viewer, "enrollments and their history"),
    row("enrollments:write", Role::Rep, "enroll contacts; pause, resume, skip, cancel"),
    row("activities:read", Role::Viewer, "the timeline, tasks, and how much contacts care"),
    row("activities:write", Role::Rep, "notes, calls and tasks"),
    row("engagement:write", Role::Admin, "the rules by which engagement is counted"),
    row("ops:read", Role::Viewer, "jobs, schedules, operations, events on their way out"),
    row(
        "ops:write",
        Role::Admin,
        "retry and cancel jobs, change schedules, stop operations, retry events",
    ),
];

const fn row(word: &'static str, least: Role, says: &'static str) -> Permission {
    Permission { word, least, says }
}

/// The permission of a word.
pub(crate) fn find(word: &str) -> Option<&'static Permission> {
    TABLE.iter().find(|permission| permission.word == word)
}

impl Permission {
    /// Whether a role has it.
    pub(crate) fn allows(&self, role: Role) -> bool {
        role <= self.least
    }

    /// Whether a scope of an API key covers it: its own word, or its resource alone, such as `ops`.
    pub(crate) fn covered_by(&self, scope: &str) -> bool {
        let resource = self.word.split(':').next().unwrap_or_default();
        scope == self.word || scope == resource
    }
}

/// Whether an API key may carry this scope.
pub(crate) fn is_scope(scope: &str) -> bool {
    TABLE.iter().any(|permission| permission.covered_by(scope))
}

/// All scopes that an API key may carry: each word, and each resource alone.
pub(crate) fn scopes() -> Vec<&'static str> {
    let mut scopes: Vec<&str> = TABLE.iter().map(|permission| permission.word).collect();
    let resources = TABLE.iter().filter_map(|permission| permission.word.split(':').next());
    scopes.extend(resources);
    scopes.sort_unstable();
    scopes.dedup();
    scopes
}

/// The words that a role has, separated by spaces: the claim `scope`.
pub(crate) fn words(role: Role) -> String {
    let words = TABLE.iter().filter(|permission| permission.allows(role));
    words.map(|permission| permission.word).collect::<Vec<_>>().join(" ")
}

/// The table for people, in Markdown.
pub(crate) fn table() -> String {
    let mut text = String::from("| permission | from role | allows |\n|---|---|---|\n");
    for Permission { word, least, says } in &TABLE {
        writeln!(text, "| `{word}` | {} | {says} |", least.word()).expect("a text can grow");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_rank_has_all_that_a_lower_one_has() {
        let allowed = |role| TABLE.iter().filter(|one| one.allows(role)).count();
        let ranks = [Role::Viewer, Role::Rep, Role::Manager, Role::Admin, Role::Owner];
        let counts = ranks.map(allowed);
        assert!(counts.is_sorted() && counts[0] > 0 && counts[4] == TABLE.len(), "{counts:?}");
        assert!(find("contacts:write").is_some_and(|one| !one.allows(Role::Viewer)));
    }

    #[test]
    fn a_scope_is_a_word_or_a_resource() {
        assert!(is_scope("ops") && is_scope("ops:read") && is_scope("contacts:write"));
        assert!(!is_scope("op") && !is_scope("ops:") && !is_scope("*") && !is_scope(""));
        let read = find("ops:read").expect("it is in the table");
        assert!(read.covered_by("ops") && !read.covered_by("ops:write"));
    }
}
