//! Names in conditions: fields of the subject and outputs of steps, and what to write for a wrong one.
//!
//! Outputs of steps are of any type; which ones a step gives is known at run time only.

use cel::IdedExpr;

use super::path::{Part, Path};
use super::suggest;
use super::type_check::{Check, Type};
use crate::step::FieldType;

impl Check<'_> {
    /// The type of what a path names.
    pub(super) fn path(&mut self, path: &Path, at: &IdedExpr) -> Type {
        if path.root == "steps" {
            return self.output(path, at);
        }
        let Some((subject, fields)) = self.scope.subject else { return Type::Any };
        if path.root != subject {
            let help = self.instead_of(&path.root, subject, fields);
            return self.refuse(at, format!("there is nothing named `{}` here", path.root), help);
        }
        let Some(Part::Key(field)) = path.parts.first() else {
            let help = format!("name a field of it, such as `{subject}.{}`", first(fields));
            return self.refuse(at, format!("`{subject}` alone is no value"), help);
        };
        let Some((_, found)) = fields.iter().find(|(name, _)| name == field) else {
            let help = suggest::help(field, fields.iter().map(|(name, _)| *name));
            return self.refuse(at, format!("a {subject} has no field `{field}`"), help);
        };
        match (Type::of(*found), path.parts.get(1)) {
            (found, None) => found,
            (Type::Any, Some(_)) | (Type::List, Some(Part::Index(_))) => Type::Any,
            (found, Some(_)) => {
                let message = format!("`{subject}.{field}` is {}, without parts", found.name());
                let help = format!("write `{subject}.{field}`");
                self.refuse(at, message, help)
            }
        }
    }

    /// What to write in place of a name that is nothing.
    fn instead_of(&self, root: &str, subject: &str, fields: &[(&str, FieldType)]) -> String {
        if fields.iter().any(|(name, _)| *name == root) {
            return format!("did you mean `{subject}.{root}`?");
        }
        if self.scope.steps.contains(&root) {
            return format!("a step's output is written `steps.{root}.…`");
        }
        if let Some(step) = self.scope.steps.iter().find(|id| id.ends_with(&format!("-{root}"))) {
            return format!("a step with a dash in its id is written `steps['{step}']`");
        }
        suggest::help(root, [subject, "steps"])
    }

    fn output(&mut self, path: &Path, at: &IdedExpr) -> Type {
        let Some(Part::Key(step)) = path.parts.first() else {
            let help = "name a step and what it gave, as in `steps.intro.clicked`";
            return self.refuse(at, "`steps` alone is no value", help);
        };
        if !self.scope.steps.contains(&step.as_str()) {
            let dashed = self.scope.steps.iter().find(|id| id.starts_with(&format!("{step}-")));
            let help = match dashed {
                Some(id) => format!("a step with a dash in its id is written `steps['{id}']`"),
                None => suggest::help(step, self.scope.steps.iter().copied()),
            };
            return self.refuse(at, format!("there is no step `{step}`"), help);
        }
        if path.parts.len() == 1 {
            let help = format!("name what it gave, as in `steps.{step}.clicked`");
            return self.refuse(at, format!("step `{step}` alone is no value"), help);
        }
        Type::Any
    }
}

fn first(fields: &[(&'static str, FieldType)]) -> &'static str {
    fields.first().map_or("name", |(name, _)| name)
}
