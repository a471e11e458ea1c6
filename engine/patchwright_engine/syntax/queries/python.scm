; What extract.py reads from Python. ADDING_A_LANGUAGE.md explains the captures.

(class_definition name: (identifier) @name) @definition.class

(function_definition name: (identifier) @name) @definition.function

(module (expression_statement (assignment left: (identifier) @name) @definition.variable))

(decorator) @leading

(call function: (identifier) @reference)
(call function: (attribute attribute: (identifier) @reference))

(class_definition superclasses: (argument_list (identifier) @reference))
(class_definition superclasses: (argument_list (attribute attribute: (identifier) @reference)))

(decorator (identifier) @reference)
(decorator (attribute attribute: (identifier) @reference))

(type (identifier) @reference)
(type (attribute attribute: (identifier) @reference))

(except_clause (identifier) @reference)
(except_clause (as_pattern (identifier) @reference))

(import_statement name: (dotted_name) @import.module) @import
(import_statement name: (aliased_import name: (dotted_name) @import.module)) @import

(import_from_statement module_name: (_) @import.module) @import
(import_from_statement module_name: (_) @import.module name: (dotted_name) @import.name) @import
(import_from_statement module_name: (_) @import.module name: (aliased_import name: (dotted_name) @import.name)) @import
(import_from_statement module_name: (_) @import.module (wildcard_import) @import.name) @import

(comment) @text
(string) @text
