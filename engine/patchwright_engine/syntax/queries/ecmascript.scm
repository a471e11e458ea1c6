; What JavaScript, TypeScript and TSX have in common.

(function_declaration name: (_) @name) @definition.function
(generator_function_declaration name: (_) @name) @definition.function
(class_declaration name: (_) @name) @definition.class
(class name: (_) @name) @definition.class
(method_definition name: (_) @name) @definition.function

; Functions and classes that a name is given to, by themselves or from outside.
(function_expression name: (identifier) @name) @definition.function
(generator_function name: (identifier) @name) @definition.function
(lexical_declaration (variable_declarator name: (identifier) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)
          (generator_function body: (_) @body)])) @definition.function
(variable_declaration (variable_declarator name: (identifier) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)
          (generator_function body: (_) @body)])) @definition.function
(lexical_declaration (variable_declarator name: (identifier) @name
  value: (class body: (_) @body))) @definition.class
(assignment_expression left: (member_expression property: (property_identifier) @name)
  right: [(arrow_function body: (_) @body) (function_expression body: (_) @body)
          (generator_function body: (_) @body)]) @definition.function
(assignment_expression left: (member_expression
    object: (member_expression object: (identifier) @scope property: (property_identifier) @_prototype)
    property: (property_identifier) @name)
  right: (function_expression body: (_) @body)
  (#eq? @_prototype "prototype")) @definition.method
(pair key: (property_identifier) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @definition.function

; Names at the top of a module, and objects that hold functions.
(program (lexical_declaration (variable_declarator name: (identifier) @name !value)) @definition.variable)
(program (lexical_declaration (variable_declarator name: (identifier) @name value: (_) @_value)) @definition.variable
  (#not-match? @_value "^require\\("))
(program (variable_declaration (variable_declarator name: (identifier) @name !value)) @definition.variable)
(program (variable_declaration (variable_declarator name: (identifier) @name value: (_) @_value)) @definition.variable
  (#not-match? @_value "^require\\("))
(program (export_statement declaration:
  (lexical_declaration (variable_declarator name: (identifier) @name)) @definition.variable))
(variable_declarator name: (identifier) @name value: (object)) @container
(pair key: (property_identifier) @name value: (object)) @container

(export_statement "export" @leading)
(export_statement "default" @leading)
(decorator) @leading

(call_expression function: (identifier) @reference)
(call_expression function: (member_expression property: (property_identifier) @reference))
(new_expression constructor: (identifier) @reference)
(new_expression constructor: (member_expression property: (property_identifier) @reference))
(decorator (identifier) @reference)
(decorator (member_expression property: (property_identifier) @reference))

(import_statement source: (string (string_fragment) @import.module)) @import
(import_statement (import_clause (identifier) @import.name)
  source: (string (string_fragment) @import.module)) @import
(import_statement (import_clause (named_imports (import_specifier name: (_) @import.name)))
  source: (string (string_fragment) @import.module)) @import
(import_statement (import_clause (namespace_import "*" @import.name))
  source: (string (string_fragment) @import.module)) @import
(export_statement source: (string (string_fragment) @import.module)) @import
(export_statement (export_clause (export_specifier name: (_) @import.name))
  source: (string (string_fragment) @import.module)) @import
(export_statement "*" @import.name source: (string (string_fragment) @import.module)) @import
(call_expression function: (identifier) @_require
  arguments: (arguments . (string (string_fragment) @import.module) .)
  (#eq? @_require "require")) @import
(call_expression function: (import)
  arguments: (arguments . (string (string_fragment) @import.module))) @import

(comment) @text
(string) @text
(template_string) @text
