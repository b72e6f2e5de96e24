//! Names in conditions: fields of the subject and outputs of steps, and what to write for a wrong one.
//!
//! What a step gives is declared by its type; whether it has given it is known at run time only.

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
        self.parts(Type::of(*found), &format!("{subject}.{field}"), path.parts.get(1), at)
    }

    /// The type of what is selected from a value.
    fn parts(&mut self, found: Type, name: &str, part: Option<&Part>, at: &IdedExpr) -> Type {
        match (found, part) {
            (found, None) => found,
            (Type::Any, Some(_)) | (Type::List, Some(Part::Index(_))) => Type::Any,
            (found, Some(_)) => {
                let message = format!("`{name}` is {}, without parts", found.name());
                self.refuse(at, message, format!("write `{name}`"))
            }
        }
    }

    /// What to write in place of a name that is nothing.
    fn instead_of(&self, root: &str, subject: &str, fields: &[(&str, FieldType)]) -> String {
        if fields.iter().any(|(name, _)| *name == root) {
            return format!("did you mean `{subject}.{root}`?");
        }
        if self.scope.ids().any(|id| id == root) {
            return format!("a step's output is written `steps.{root}.…`");
        }
        if let Some(step) = self.scope.ids().find(|id| id.ends_with(&format!("-{root}"))) {
            return format!("a step with a dash in its id is written `steps['{step}']`");
        }
        suggest::help(root, [subject, "steps"])
    }

    fn output(&mut self, path: &Path, at: &IdedExpr) -> Type {
        let Some(Part::Key(step)) = path.parts.first() else {
            let help = "name a step and what it gave, as in `steps.intro.clicked`";
            return self.refuse(at, "`steps` alone is no value", help);
        };
        let Some(named) = self.scope.steps.iter().find(|named| named.id == step) else {
            let dashed = self.scope.ids().find(|id| id.starts_with(&format!("{step}-")));
            let help = match dashed {
                Some(id) => format!("a step with a dash in its id is written `steps['{id}']`"),
                None => suggest::help(step, self.scope.ids()),
            };
            return self.refuse(at, format!("there is no step `{step}`"), help);
        };
        let outputs = named.outputs.unwrap_or_default();
        let Some(Part::Key(name)) = path.parts.get(1) else {
            let help = match outputs.first() {
                Some(output) => format!("name what it gave, as in `{}`", told(step, output.name)),
                None => "a step of its type gives nothing to be asked for".to_owned(),
            };
            return self.refuse(at, format!("step `{step}` alone is no value"), help);
        };
        if named.outputs.is_none() {
            return Type::Any;
        }
        let Some(output) = outputs.iter().find(|output| output.name == name) else {
            let help = if outputs.is_empty() {
                "a step of its type gives nothing to be asked for".to_owned()
            } else {
                suggest::help(name, outputs.iter().map(|output| output.name))
            };
            return self.refuse(at, format!("step `{step}` gives no `{name}`"), help);
        };
        self.parts(Type::of(output.kind), &told(step, output.name), path.parts.get(2), at)
    }
}

/// How an output is written: ids with a dash in brackets.
fn told(step: &str, output: &str) -> String {
    if step.contains('-') {
        format!("steps['{step}'].{output}")
    } else {
        format!("steps.{step}.{output}")
    }
}

fn first(fields: &[(&'static str, FieldType)]) -> &'static str {
    fields.first().map_or("name", |(name, _)| name)
}
