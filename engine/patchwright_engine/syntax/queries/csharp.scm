; What extract.py reads from C#. ADDING_A_LANGUAGE.md explains the captures. Namespaces are not part of a name.

(class_declaration name: (identifier) @name) @definition.class
(struct_declaration name: (identifier) @name) @definition.class
(interface_declaration name: (identifier) @name) @definition.class
(enum_declaration name: (identifier) @name) @definition.class
(record_declaration name: (identifier) @name) @definition.class
(delegate_declaration name: (identifier) @name) @definition.class
(method_declaration name: (identifier) @name) @definition.method
(constructor_declaration name: (identifier) @name) @definition.method
(local_function_statement name: (identifier) @name) @definition.function
(property_declaration name: (identifier) @name accessors: (_) @body) @definition.method
(property_declaration name: (identifier) @name value: (arrow_expression_clause) @body) @definition.method
(indexer_declaration "this" @name accessors: (_) @body) @definition.method
(indexer_declaration "this" @name value: (_) @body) @definition.method
(operator_declaration operator: _ @name) @definition.method
(field_declaration (modifier) @_modifier
  (variable_declaration (variable_declarator name: (identifier) @name))
  (#match? @_modifier "^(const|static)$")) @definition.variable

(attribute_list) @leading

(invocation_expression function: (identifier) @reference)
(invocation_expression function: (generic_name (identifier) @reference))
(invocation_expression function: (member_access_expression name: (identifier) @reference))
(invocation_expression function: (member_access_expression name: (generic_name (identifier) @reference)))
(invocation_expression function: (member_access_expression
  expression: (identifier) @reference (#match? @reference "^[A-Z]")))
(invocation_expression function: (conditional_access_expression
  (member_binding_expression name: (identifier) @reference)))
(invocation_expression function: (member_binding_expression name: (identifier) @reference))
(attribute name: (identifier) @reference)
(base_list (identifier) @reference)
(base_list (qualified_name name: (identifier) @reference))
(generic_name (identifier) @reference)
(type_argument_list (identifier) @reference)
(_ type: (identifier) @reference)
(_ type: (qualified_name name: (identifier) @reference))
(_ returns: (identifier) @reference)

(using_directive [(identifier) (qualified_name)] @import.module .) @import

(comment) @text
(string_literal) @text
(verbatim_string_literal) @text
(raw_string_literal) @text
(interpolated_string_expression) @text
