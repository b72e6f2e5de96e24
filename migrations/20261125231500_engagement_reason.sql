-- Why a workflow moved a contact's score; points that an event is worth need no reason.

alter table engagement_parts add column reason text;
