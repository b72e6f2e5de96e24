-- Addresses whose domain is of another script are stored in ASCII from here on. `salesos migrate` and `dev` respell the
-- rows from before, which these indexes find; a row of either spelling works for the binary before as well.
create index contacts_in_script on contacts (id)
  where octet_length(email) <> char_length(email) and deleted_at is null;
create index suppressions_in_script on suppressions (id) where octet_length(email) <> char_length(email);
create index users_in_script on users (id) where octet_length(email) <> char_length(email);
