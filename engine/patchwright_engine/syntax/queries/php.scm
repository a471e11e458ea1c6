; What extract.py reads from PHP. ADDING_A_LANGUAGE.md explains the captures.

(class_declaration name: (name) @name) @definition.class
(interface_declaration name: (name) @name) @definition.class
(trait_declaration name: (name) @name) @definition.class
(enum_declaration name: (name) @name) @definition.class
(function_definition name: (name) @name) @definition.function
(method_declaration name: (name) @name) @definition.method
(const_declaration (const_element . (name) @name)) @definition.variable
(program (expression_statement (function_call_expression function: (name) @_define
  arguments: (arguments . (argument (string (string_content) @name)))
  (#eq? @_define "define")) @definition.variable))

(attribute_list) @leading

(function_call_expression function: [(name) @reference (qualified_name (name) @reference .)])
(member_call_expression name: (name) @reference)
(nullsafe_member_call_expression name: (name) @reference)
(scoped_call_expression name: (name) @reference)
(scoped_call_expression scope: [(name) @reference (qualified_name (name) @reference .)])
(class_constant_access_expression . [(name) @reference (qualified_name (name) @reference .)])
((object_creation_expression [(name) @reference (qualified_name (name) @reference .)])
  (#not-eq? @reference "static"))
(named_type [(name) @reference (qualified_name (name) @reference .)])
(base_clause [(name) @reference (qualified_name (name) @reference .)])
(class_interface_clause [(name) @reference (qualified_name (name) @reference .)])
(use_declaration [(name) @reference (qualified_name (name) @reference .)])
(attribute [(name) @reference (qualified_name (name) @reference .)])

(namespace_use_declaration (namespace_use_clause [(qualified_name) (name)] @import.module)) @import
(namespace_use_declaration (namespace_name) @import.module
  body: (namespace_use_group (namespace_use_clause . [(name) (qualified_name)] @import.name))) @import
(require_expression [(string (string_content) @import.relative)
  (binary_expression right: (string (string_content) @import.relative))]) @import
(require_once_expression [(string (string_content) @import.relative)
  (binary_expression right: (string (string_content) @import.relative))]) @import
(include_expression [(string (string_content) @import.relative)
  (binary_expression right: (string (string_content) @import.relative))]) @import
(include_once_expression [(string (string_content) @import.relative)
  (binary_expression right: (string (string_content) @import.relative))]) @import

(comment) @text
(string) @text
(encapsed_string) @text
(heredoc) @text
(nowdoc) @text
