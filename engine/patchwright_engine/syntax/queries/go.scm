; What extract.py reads from Go. ADDING_A_LANGUAGE.md explains the captures.

(function_declaration name: (identifier) @name) @definition.function
(method_declaration
  receiver: (parameter_list (parameter_declaration type: [
    (type_identifier) @scope
    (pointer_type (type_identifier) @scope)
    (generic_type type: (type_identifier) @scope)
    (pointer_type (generic_type type: (type_identifier) @scope))]))
  name: (field_identifier) @name) @definition.method

; A type alone is its whole declaration; in a group it is its own line.
(type_declaration "type" . (type_spec name: (_) @name)) @definition.class
(type_declaration "type" . (type_spec name: (_) @name
  type: (struct_type (field_declaration_list) @body))) @definition.class
(type_declaration "type" . (type_spec name: (_) @name type: (interface_type "{" @body))) @definition.class
(type_declaration "type" . (type_alias name: (_) @name)) @definition.class
(type_declaration "(" (type_spec name: (_) @name) @definition.class)
(type_declaration "(" (type_spec name: (_) @name
  type: (struct_type (field_declaration_list) @body)) @definition.class)
(type_declaration "(" (type_spec name: (_) @name type: (interface_type "{" @body)) @definition.class)
(interface_type (method_elem name: (_) @name) @definition.method)

(source_file (const_declaration (const_spec (identifier) @name) @definition.variable))
(source_file (var_declaration (var_spec name: (identifier) @name) @definition.variable))
(source_file (var_declaration (var_spec_list (var_spec name: (identifier) @name) @definition.variable)))

(call_expression function: (identifier) @reference)
(call_expression function: (selector_expression field: (field_identifier) @reference))
(type_identifier) @reference

(import_spec path: (interpreted_string_literal (interpreted_string_literal_content) @import.module)) @import
(import_spec path: (raw_string_literal (raw_string_literal_content) @import.module)) @import

(comment) @text
(interpreted_string_literal) @text
(raw_string_literal) @text
