//! The services: what each is called, where it listens and which routes are its own.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use utoipa_axum::router::OpenApiRouter;

use crate::{State, activities, auth, email, ops, records, sequences};

/// The port of the gateway, the only public door.
pub const GATEWAY_PORT: u16 = 3000;

/// A part of the API that can run in a process of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Sign-up, logins, users.
    Auth,
    /// The records that people keep.
    Crm,
    /// Mail: suppressed addresses and domains.
    Email,
    /// Meetings; it has no routes yet.
    Calendar,
    /// Sequences and the enrollments in them.
    Sequences,
    /// The timeline.
    Activities,
    /// What the system does: jobs, operations, schedules.
    Ops,
}

impl Service {
    /// All, in the order of their ports.
    pub const ALL: [Self; 7] = [
        Self::Auth,
        Self::Crm,
        Self::Email,
        Self::Calendar,
        Self::Sequences,
        Self::Activities,
        Self::Ops,
    ];

    /// Its name, also the audience of what the gateway sends it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Crm => "crm",
            Self::Email => "email",
            Self::Calendar => "calendar",
            Self::Sequences => "sequences",
            Self::Activities => "activities",
            Self::Ops => "ops",
        }
    }

    /// The port on which it listens by default.
    pub fn port(self) -> u16 {
        match self {
            Self::Auth => 3001,
            Self::Crm => 3002,
            Self::Email => 3003,
            Self::Calendar => 3004,
            Self::Sequences => 3005,
            Self::Activities => 3006,
            Self::Ops => 3007,
        }
    }

    /// The setting that says where it answers.
    pub fn url_setting(self) -> &'static str {
        match self {
            Self::Auth => "AUTH_SERVICE_URL",
            Self::Crm => "CRM_SERVICE_URL",
            Self::Email => "EMAIL_SERVICE_URL",
            Self::Calendar => "CALENDAR_SERVICE_URL",
            Self::Sequences => "SEQUENCES_SERVICE_URL",
            Self::Activities => "ACTIVITIES_SERVICE_URL",
            Self::Ops => "OPS_SERVICE_URL",
        }
    }

    /// Its routes, below `/api/v1`. Those on many enrollments go with the enrollments.
    pub(crate) fn routes(self) -> OpenApiRouter<State> {
        match self {
            Self::Auth => auth::router(),
            Self::Crm => records::router(),
            Self::Email => email::router(),
            Self::Calendar => OpenApiRouter::new(),
            Self::Sequences => sequences::router().merge(ops::of_enrollments()),
            Self::Activities => activities::router(),
            Self::Ops => ops::router(),
        }
    }
}

impl Display for Service {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Service {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|service| service.name() == name);
        found.ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|service| service.name()).collect();
            format!("there is no service `{name}`; there are {}", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::Service;
    use crate::described;

    fn paths(services: &[Service]) -> BTreeSet<String> {
        let (_, document) = described(services);
        let paths = document["paths"].as_object().into_iter().flatten();
        let operations = paths.flat_map(|(path, operations)| {
            let methods = operations.as_object().into_iter().flatten();
            methods.map(move |(method, _)| format!("{method} {path}"))
        });
        operations.collect()
    }

    #[test]
    fn each_operation_belongs_to_one_service_and_together_they_are_the_api() {
        let all = paths(&Service::ALL);
        let each: Vec<BTreeSet<String>> = Service::ALL.iter().map(|one| paths(&[*one])).collect();
        assert_eq!(each.iter().map(BTreeSet::len).sum::<usize>(), all.len());
        assert_eq!(each.into_iter().flatten().collect::<BTreeSet<_>>(), all);
        assert!(paths(&[Service::Crm]).contains("get /api/v1/contacts"));
        assert!(paths(&[Service::Sequences]).contains("post /api/v1/enrollments/pause"));
    }

    #[test]
    fn a_service_is_known_by_its_name_and_has_a_port_of_its_own() {
        for service in Service::ALL {
            assert_eq!(service.name().parse(), Ok(service));
            let setting = format!("{}_SERVICE_URL", service.name().to_uppercase());
            assert_eq!(service.url_setting(), setting);
        }
        let ports: BTreeSet<u16> = Service::ALL.iter().map(|service| service.port()).collect();
        assert_eq!(ports, (3001..=3007).collect());
        assert!("crn".parse::<Service>().is_err_and(|said| said.contains("auth, crm, email")));
    }
}
