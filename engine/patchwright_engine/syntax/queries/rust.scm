; What extract.py reads from Rust. ADDING_A_LANGUAGE.md explains the captures.

(function_item name: (identifier) @name) @definition.function
(function_signature_item name: (identifier) @name) @definition.function
(struct_item name: (_) @name) @definition.class
(enum_item name: (_) @name) @definition.class
(union_item name: (_) @name) @definition.class
(trait_item name: (_) @name) @definition.class
(type_item name: (_) @name) @definition.class
(macro_definition name: (_) @name ["{" "(" "["] @body) @definition.function
(source_file (const_item name: (_) @name) @definition.variable)
(source_file (static_item name: (_) @name) @definition.variable)
(impl_item body: (declaration_list (const_item name: (_) @name) @definition.variable))

(impl_item type: [
  (type_identifier) @name
  (generic_type type: (type_identifier) @name)
  (generic_type type: (scoped_type_identifier name: (type_identifier) @name))
  (scoped_type_identifier name: (type_identifier) @name)
  (reference_type type: (type_identifier) @name)
  (reference_type type: (generic_type type: (type_identifier) @name))]) @container.class
(mod_item name: (identifier) @name body: (_)) @container

(attribute_item) @leading

(call_expression function: (identifier) @reference)
(call_expression function: (field_expression field: (field_identifier) @reference))
(call_expression function: (scoped_identifier name: (identifier) @reference))
(call_expression function: (scoped_identifier path: (identifier) @reference))
(call_expression function: (generic_function function: (identifier) @reference))
(call_expression function: (generic_function function: (field_expression field: (field_identifier) @reference)))
(call_expression function: (generic_function function: (scoped_identifier name: (identifier) @reference)))
(macro_invocation macro: (identifier) @reference)
(macro_invocation macro: (scoped_identifier name: (identifier) @reference))
(token_tree (identifier) @reference . (token_tree))
(type_identifier) @reference

(use_declaration argument: (identifier) @import.module) @import
(use_declaration argument: (scoped_identifier path: (_) @import.module name: (_) @import.name)) @import
(use_declaration argument: (use_as_clause path: (identifier) @import.module)) @import
(use_declaration argument: (use_as_clause
  path: (scoped_identifier path: (_) @import.module name: (_) @import.name))) @import
(use_declaration argument: (use_wildcard (_) @import.module "*" @import.name)) @import
(use_declaration argument: (scoped_use_list path: (_) @import.module list: (use_list [
  (identifier) @import.name
  (self) @import.name
  (use_as_clause path: (identifier) @import.name)]))) @import
(use_declaration argument: (scoped_use_list path: (_) @import.module list: (use_list [
  (scoped_identifier path: (_) @import.module name: (_) @import.name)
  (use_as_clause path: (scoped_identifier path: (_) @import.module name: (_) @import.name))
  (use_wildcard (_) @import.module "*" @import.name)
  (scoped_use_list path: (_) @import.module list: (use_list [
    (identifier) @import.name
    (self) @import.name
    (use_as_clause path: (identifier) @import.name)]))]))) @import
(mod_item name: (identifier) @import.relative !body) @import

(line_comment) @text
(block_comment) @text
(string_literal) @text
(raw_string_literal) @text
